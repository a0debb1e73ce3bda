"""Where publishers may be"""

from __future__ import annotations

import pytest

from caterva2.errors import ConfigError
from caterva2.wire.networks import ANYWHERE, Networks, is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "*", "0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "224.0.0.1", "[ff02::1]", "169.254.169.254",
        "[::ffff:169.254.169.254]", "[fe80::1]", "[fe80::1%eth0]", "2852039166", "0xa9fea9fe",
        "169.254.43518", "0251.0376.0.1", "127.0.0.1.", "a.b.7",
    ],
)  # fmt: skip
def test_what_is_no_address_of_another_machine_is_refused(host: str) -> None:
    for near in (True, False):
        assert ANYWHERE.refusal(f"tcp://{host}:8001", near)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_is_for_those_on_this_machine(host: str) -> None:
    assert ANYWHERE.refusal(f"tcp://{host}:8001", near=True) == ""
    assert "advertise" in ANYWHERE.refusal(f"tcp://{host}:8001", near=False)


@pytest.mark.parametrize("host", ["10.1.2.3", "[2001:db8::1]", "data.example", "node-7", "h"])
def test_any_other_is_taken_where_none_is_named(host: str) -> None:
    assert ANYWHERE.refusal(f"tcp://{host}:8001", near=False) == ""


def test_only_those_that_are_named_are_taken() -> None:
    some = Networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "Data.example"])
    for host in ("10.1.2.3", "[::ffff:10.1.2.3]", "[2001:db8::1]", "192.0.2.7", "data.Example"):
        assert some.refusal(f"tcp://{host}:1", near=True) == ""
    for host in ("11.1.2.3", "[2001:db9::1]", "192.0.2.8", "other.example", "127.0.0.1", "x.1"):
        assert some.refusal(f"tcp://{host}:1", near=True)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "a b", "", "1.2.3", "tcp://h:1"])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="neither a network"):
        Networks([text])


def test_an_unknown_peer_is_not_near() -> None:
    assert all(is_loopback(one) for one in ("127.0.0.1", "::1", "::ffff:127.0.0.1"))
    assert not any(is_loopback(one) for one in ("10.0.0.1", "", "localhost"))
