"""What a decoder refuses, and that it refuses in no other way than by `BadMessage`."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest
from decoding import CHANNELS, CHUNKS, INFO, REGISTER, decode, refuse
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.errors import WIRE_ERRORS, BadMessage, Busy, Internal, StaleVersion
from caterva2.limits import constants
from caterva2.wire import codec
from caterva2.wire import messages as m
from tests.thoroughness import CHARACTERS, examples

# --- frames and encoding ---


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [codec.MAGIC],
        [b"C2P\x02", msgpack.packb({"type": "ping"})],
        [b"C2P\x01\x00", msgpack.packb({"type": "ping"})],
        [b"", msgpack.packb({"type": "ping"})],
        [msgpack.packb({"type": "ping"}), codec.MAGIC],
    ],
)
def test_what_is_not_ours(frames: list[bytes]) -> None:
    with pytest.raises(codec.NotOurs):
        codec.control_requests(frames)


def test_memoryviews_are_as_good_as_bytes() -> None:
    frames = [memoryview(codec.MAGIC), memoryview(msgpack.packb({"type": "ping", "id": 4}))]
    assert codec.control_requests(frames) == m.Ping(id=4)


def test_header_is_bounded_when_read_and_when_written() -> None:
    fits = {"type": "ping", "id": 1, "x": b""}
    fits["x"] = bytes(constants.HEADER_BYTES - len(msgpack.packb(fits)) - 3)
    assert len(msgpack.packb(fits)) == constants.HEADER_BYTES
    assert decode("control_requests", fits) == m.Ping(id=1)
    long = msgpack.packb(fits | {"y": 1})
    assert "too long" in refuse("control_requests", long).detail
    info = {"x": "x" * constants.HEADER_BYTES}
    error = m.Error(id=1, code=500, name="internal", retry="no", detail="", info=info)
    with pytest.raises(BadMessage, match="too long"):
        codec.encode(error)


@pytest.mark.parametrize("code", [0x00, 0x01, 0x2A, 0x7F, 0xFE, 0x80])
@pytest.mark.parametrize("where", ["agent", "hue"])
def test_extension_types_are_refused(code: int, where: str) -> None:
    fixext4 = bytes([0xD6, code]) + b"abcd"
    header = b"\x82" + msgpack.packb("type") + msgpack.packb("hello") + msgpack.packb(where)
    assert "extension type" in refuse("control_requests", header + fixext4).detail


@pytest.mark.parametrize("where", ["agent", "hue"])
def test_timestamps_are_an_extension_type_too(where: str) -> None:
    refuse("control_requests", {"type": "hello", where: msgpack.Timestamp(1)})


@pytest.mark.parametrize("header", [None, 1, "ping", b"ping", ["type", "ping"], True, 1.5])
def test_a_header_is_a_map(header: object) -> None:
    assert "not a map" in refuse("control_requests", msgpack.packb(header)).detail


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        msgpack.packb({"type": "ping"}) + b"\0",
        msgpack.packb({"type": "ping"})[:-1],
        b"\x81\x01\x02",
        b"\x81\xa4type\xa4\xff\xfe\xfd\xfc",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\x81\xa1a" * 10_000,
    ],
    ids=["empty", "reserved", "rest", "cut", "intkey", "utf8", "claim", "deep", "deepmaps"],
)
def test_what_is_not_msgpack(packed: bytes) -> None:
    refuse("control_requests", packed)


def test_unknown_keys_are_ignored() -> None:
    assert decode("control_requests", {"type": "ping", "id": 1, "hue": [{}]}) == m.Ping(id=1)


# --- the answer to a bad message ---


@pytest.mark.parametrize(
    ("header", "number"),
    [
        ({"type": "pong?", "id": 77}, 77),
        ({"type": "ping", "id": 2**53 - 1, "x": 1} | {"type": "nothing"}, 2**53 - 1),
        ({"type": "pong?", "id": 2**53}, 0),
        ({"type": "pong?", "id": -1}, 0),
        ({"type": "pong?", "id": "77"}, 0),
        ({"type": "pong?", "id": 7.0}, 0),
        ({"type": "pong?", "id": True}, 0),
        ({"type": "pong?"}, 0),
        (REGISTER | {"id": 9, "root": "a/b"}, 9),
        (REGISTER | {"id": 9, "fence": -1}, 9),
    ],
)
def test_the_id_is_recovered_for_the_answer(header: dict[str, Any], number: int) -> None:
    error = refuse("control_requests", header)
    assert codec.request_id(error) == number
    answer = codec.error_message(codec.request_id(error), error)
    assert (answer.id, answer.code, answer.name, answer.retry) == (number, 400, "bad-message", "no")
    assert codec.control_replies(codec.encode(answer)) == answer


def test_nesting_does_not_multiply_memory() -> None:
    """Each level may claim as many items as the header has bytes; none may be set aside."""
    size = 16 * 1024
    claim = b"\xdd" + (size - 500).to_bytes(4, "big")
    header = msgpack.packb({"type": "ping", "x": 0})[:-1] + claim * 900
    header += bytes(size - len(header))
    tracemalloc.start()
    try:
        refuse("control_requests", header)
        assert tracemalloc.get_traced_memory()[1] < 32 * constants.MIB
    finally:
        tracemalloc.stop()


def test_keys_are_strings() -> None:
    refuse("control_requests", {"type": "ping", b"x": 1})


@pytest.mark.parametrize("etag", ["a\r\nb: c", 'a"b', "a b", "\0"])
def test_an_etag_can_stand_in_an_http_header(etag: str) -> None:
    refuse("data_requests", CHUNKS | {"etag": etag})
    refuse("data_replies", INFO | {"etag": etag})


def test_a_change_that_puts_names_the_version() -> None:
    change = {
        "type": "change", "root": "foo", "inst": "i", "fence": 1, "rev": 1, "op": "delete",
        "path": "a",
    }  # fmt: skip
    assert decode("root_notes", change)
    refuse("root_notes", change | {"op": "put"})
    refuse("root_notes", change | {"op": "put", "etag": "\u00e9"})


@pytest.mark.parametrize("mtime", [float("nan"), float("inf"), float("-inf")])
def test_times_are_finite(mtime: float) -> None:
    refuse("data_replies", INFO | {"mtime": mtime})


def test_a_long_detail_is_cut() -> None:
    error = refuse("control_requests", {"type": "x" * 100_000, "id": 1})
    assert len(codec.error_message(1, error).detail) == 4096


@pytest.mark.parametrize("name", WIRE_ERRORS)
def test_errors_there_and_back(name: str) -> None:
    sent = WIRE_ERRORS[name]("why", info={"etag": "e", "n": 3, "list": [1]}, after_ms=5)
    message = codec.data_replies(codec.encode(codec.error_message(4, sent)))
    assert isinstance(message, m.Error)
    assert (message.code, message.name, message.retry) == (sent.code, sent.name, sent.retry)
    got = codec.to_exception(message)
    assert type(got) is type(sent)
    assert (got.detail, got.info, got.after_ms) == ("why", {"etag": "e", "n": 3}, 5)


def test_an_unknown_error_is_internal() -> None:
    message = m.Error(id=1, code=799, name="novel", retry="no", detail="?")
    assert type(codec.to_exception(message)) is Internal
    assert not issubclass(Internal, Busy | StaleVersion)


# --- anything at all ---

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(CHARACTERS)
    | st.binary() | st.sampled_from(["foo", "tcp://h:1", "array", "put", "hello", "change"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(CHARACTERS), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
FIELDS = sorted({name for kind in m.Message.__args__ for name in kind.model_fields} - {"type"})
TYPES = sorted({kind.model_fields["type"].default for kind in m.Message.__args__})
HEADERS = st.builds(
    lambda kind, rest: {"type": kind} | rest,
    st.sampled_from(TYPES) | VALUES,
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=12),
)


def only_bad_message(frames: list[bytes]) -> None:
    """Every channel gives a message that can be written again, or refuses it properly."""
    for channel in CHANNELS.values():
        try:
            message = channel(frames)
        except codec.NotOurs:
            continue
        except BadMessage as error:
            codec.encode(codec.error_message(codec.request_id(error), error))
        else:
            assert codec.encode(channel(codec.encode(message))) == codec.encode(message)


@given(st.lists(st.binary(max_size=200), max_size=4))
@settings(max_examples=examples(150))
def test_any_frames(frames: list[bytes]) -> None:
    only_bad_message(frames)


@given(st.binary(max_size=400))
@settings(max_examples=examples(200))
def test_any_bytes_as_header(data: bytes) -> None:
    only_bad_message([codec.MAGIC, data])


@given(VALUES | HEADERS)
@settings(max_examples=examples(300))
def test_any_msgpack_as_header(value: object) -> None:
    only_bad_message([codec.MAGIC, msgpack.packb(value)])
