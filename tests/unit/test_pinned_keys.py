"""Keys of origins are pinned at their first use, and replaced by those that take their places"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from caterva2.config import SubscriberSettings
from caterva2.errors import ConfigError
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName
from caterva2.signing import keys, statements
from caterva2.subscriber.trust.options import Trust, TrustOptions
from caterva2.subscriber.trust.pins import FILE, Pins
from caterva2.subscriber.trust.root_trust import RootTrust
from caterva2.wire.messages import BlocksRequest, CatalogRequest

FOO = RootName("foo")
FIRST = keys.make().of(FOO)
SECOND = FIRST.successor(FOO)
THIRD = SECOND.successor(FOO)
STRANGER = keys.make().of(FOO)


def pins(trust: Trust = "signed", *given: keys.SigningKey) -> Pins:
    named = {FOO: frozenset(one.public for one in given)} if given else {}
    return Pins(None, TrustOptions(trust, named))


def publics(*given: keys.SigningKey) -> set[str]:
    return {one.public for one in given}


def test_two_keys_count_at_a_time_and_none_comes_back() -> None:
    made = pins()
    assert not made.of(FOO)
    made.hear(FOO, FIRST.signers, directly=False)
    for key, counting in (
        (STRANGER, (FIRST,)),
        (SECOND, (FIRST, SECOND)),
        (THIRD, (SECOND, THIRD)),
    ):
        made.hear(FOO, key.signers, directly=False)
        made.hear(FOO, (), directly=False)
        assert made.of(FOO) == publics(*counting)
    made.hear(FOO, SECOND.signers, directly=False)  # sent again by one who has the first key
    made.hear(FOO, SECOND.signers, directly=True)
    assert made.of(FOO) == publics(SECOND, THIRD)


@pytest.mark.parametrize("directly", [False, True])
def test_what_a_mirror_puts_together_drops_no_key(directly: bool) -> None:
    """Each statement is one of the origin, and known to all who take the root from it."""
    for known, mixed in (
        (FIRST, (STRANGER.signers[0], SECOND.signers[0])),
        (SECOND, (SECOND.signers[1], THIRD.signers[0])),
    ):
        made = pins()
        made.hear(FOO, known.signers, directly=True)
        before = made.of(FOO)
        made.hear(FOO, mixed, directly=directly)
        assert made.of(FOO) == before


def test_a_first_use_takes_the_key_before_for_what_mirrors_have() -> None:
    made = pins()
    made.hear(FOO, SECOND.signers, directly=False)
    assert made.of(FOO) == publics(FIRST, SECOND)


@pytest.mark.parametrize(
    ("trust", "directly", "expected"),
    [
        ("first-use", True, STRANGER), ("first-use", False, FIRST), ("connection", True, STRANGER),
        ("signed", True, FIRST), ("signed", False, FIRST),
    ],
)  # fmt: skip
def test_only_a_publisher_itself_may_have_another_key(
    trust: Trust, directly: bool, expected: keys.SigningKey, caplog: pytest.LogCaptureFixture
) -> None:
    made = pins(trust)
    made.hear(FOO, FIRST.signers, directly=True)
    made.hear(FOO, STRANGER.signers, directly=directly)
    assert made.of(FOO) == publics(expected)
    assert ("signs with another key now" in caplog.text) == (expected is STRANGER)


def test_a_key_that_no_known_one_endorses_is_named_with_the_way_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The origin may have lost the old one: readers behind mirrors refuse what it signs then."""

    async def run() -> None:
        trust = RootTrust(FOO, pins("first-use"), lambda provider: provider == "m1")
        await trust.hear(FIRST.signers, "")
        await trust.hear(SECOND.signers, "m1")
        assert not caplog.messages
        await trust.hear(STRANGER.signers, "m1")
        [said] = caplog.messages
        assert STRANGER.public in said
        assert "name it in signing_keys" in said

    asyncio.run(run())


def test_keys_of_the_settings_count_whatever_is_said() -> None:
    made = pins("first-use", SECOND)
    for key in (STRANGER, FIRST, SECOND):
        made.hear(FOO, key.signers, directly=True)
        assert made.of(FOO) == publics(SECOND)
    made.hear(FOO, THIRD.signers, directly=False)
    assert made.of(FOO) == publics(SECOND, THIRD)


def test_pins_outlive_the_subscriber(tmp_path: Path) -> None:
    async def run() -> None:
        made = Pins(tmp_path / FILE)
        made.hear(FOO, SECOND.signers, directly=False)
        await made.keep()

    asyncio.run(run())
    again = Pins(tmp_path / FILE)
    assert again.of(FOO) == publics(FIRST, SECOND)
    assert again.shown(FOO) == SECOND.signers
    (tmp_path / FILE).write_text('{"format": 1, "roots": {"foo": {}}}')
    assert not Pins(tmp_path / FILE).of(FOO)


def test_what_a_dropped_key_signed_is_not_passed_on(tmp_path: Path) -> None:
    """A mirror asks for it again, else its readers would refuse for ever what it has."""
    info = DatasetInfo.model_construct(path=DatasetPath("a"), etag="e", mtime=1.0)
    said = statements.description(FOO, info)
    old, new = (
        info.model_copy(update={"signature": one.signing()(said)}) for one in (FIRST, THIRD)
    )

    async def run() -> None:
        made = Pins(tmp_path / FILE)
        trust = RootTrust(FOO, made, lambda _: False, lambda: True)
        assert trust.may_pass_on(info)  # nothing else is known of the origin
        for key, dropped in ((FIRST, False), (SECOND, False), (THIRD, True)):
            await trust.hear(key.signers, "")
            assert (trust.has_dropped, trust.may_pass_on(old)) == (dropped, not dropped)
        again = RootTrust(FOO, Pins(tmp_path / FILE), lambda _: False, lambda: True)
        for one in (trust, again):
            assert [one.may_pass_on(x) for x in (old, new, info)] == [False, True, False]
        plain = RootTrust(FOO, made, lambda _: False)
        assert plain.may_pass_on(old)
        strict = pins("signed")  # others may take the root from here by HTTP
        strict.hear(FOO, FIRST.signers, directly=True)
        assert not RootTrust(FOO, strict, lambda _: False).may_pass_on(info)
        for key in (SECOND, THIRD):
            strict.hear(FOO, key.signers, directly=True)
        assert not RootTrust(FOO, strict, lambda _: False).may_pass_on(old)

    asyncio.run(run())


def test_nothing_signed_is_asked_of_an_origin_that_stopped_to_sign() -> None:
    """Each request for its catalog would ask for that again, each piece of a file be sent again."""

    async def run() -> None:
        trust = RootTrust(FOO, pins("first-use"), lambda _: False, lambda: True)
        for signers in (FIRST.signers, (), FIRST.signers):
            await trust.hear(signers, "")
            assert (trust.signs, trust.passes_on) == (bool(signers), bool(signers))
            assert trust.signers == FIRST.signers

    asyncio.run(run())


def test_blocks_are_signed_only_for_those_who_check_them() -> None:
    """To sign them, all of their chunk has to be read; and a mirror passes on whole chunks."""
    blocks = BlocksRequest.model_construct()
    for trust, wanted in (("connection", False), ("signed", True)):
        mirror = RootTrust(FOO, pins(trust), lambda _: False, lambda: True)
        assert mirror.wants("", CatalogRequest())
        assert mirror.wants("", blocks) == wanted
        assert RootTrust(FOO, pins(trust), lambda _: True).wants("", CatalogRequest()) == wanted


def test_what_is_signed_is_asked_for_once_a_reader_behind_checks_it() -> None:
    trust = RootTrust(FOO, pins("first-use"), lambda _: False)
    assert not trust.wants("", CatalogRequest())
    trust.ask()
    assert trust.wants("", CatalogRequest())


def test_a_setting_that_is_no_key_is_named() -> None:
    settings = SubscriberSettings(signing_keys={"foo": "abc"})
    with pytest.raises(ConfigError, match=r"\[subscriber\.signing_keys\] foo: 'abc' is not a"):
        TrustOptions.of(settings)
