"""What a decoder refuses, and that it refuses in no other way than by `BadMessage`."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.errors import WIRE_ERRORS, BadMessage, Busy, Internal, StaleVersion
from caterva2.limits import constants
from caterva2.wire import codec
from caterva2.wire import messages as m
from tests.thoroughness import examples

CHANNELS: dict[str, codec.Decoder[Any]] = {
    "control_requests": codec.control_requests,
    "control_replies": codec.control_replies,
    "data_requests": codec.data_requests,
    "data_replies": codec.data_replies,
    "roots_notes": codec.roots_notes,
    "root_notes": codec.root_notes,
}
REGISTER = {"type": "register", "root": "foo", "inst": "i", "fence": 0, "endpoints": ["tcp://h:1"]}
CHUNKS = {"type": "chunks?", "id": 1, "path": "a", "etag": "e", "n": [0], "deadline_ms": 1000}
INFO = {
    "type": "info", "id": 1, "path": "a.b2nd", "etag": "e", "mtime": 0.0, "kind": "array",
    "shape": [4], "chunks": [4], "blocks": [2], "dtype": "|u1", "typesize": 1, "chunksize": 4,
    "blocksize": 2, "nbytes": 4, "cbytes": 4,
}  # fmt: skip


def decode(channel: str, header: object) -> Any:
    """Decode a header, given as bytes or as what msgpack packs."""
    packed = header if isinstance(header, bytes) else msgpack.packb(header)
    return CHANNELS[channel]([codec.MAGIC, packed])


def refuse(channel: str, header: object) -> BadMessage:
    """The error for a header, which must be refused, though not as somebody else's."""
    with pytest.raises(BadMessage) as caught:
        decode(channel, header)
    assert not isinstance(caught.value, codec.NotOurs)
    return caught.value


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


# --- types, bounds, names ---


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("kind", ["", "blocks?", "PING", 7, None, True, [], {}, b"ping"])
def test_an_unknown_type_is_a_bad_message(channel: str, kind: object) -> None:
    refuse(channel, {"type": kind, "id": 1})
    refuse(channel, {"id": 1})


@pytest.mark.parametrize(
    ("channel", "header"),
    [
        ("data_requests", REGISTER),
        ("data_requests", {"type": "ping", "id": 1}),
        ("data_requests", {"type": "snapshot?", "id": 1}),
        ("control_requests", CHUNKS),
        ("control_requests", {"type": "cancel", "id": 1}),
        ("control_requests", {"type": "pong", "id": 1, "binst": "b"}),
        ("roots_notes", {"type": "beat", "root": "foo", "inst": "i", "fence": 1, "rev": 1}),
        ("root_notes", {"type": "beat", "seq": 1, "binst": "b"}),
    ],
)
def test_a_channel_carries_its_own_messages_only(channel: str, header: dict[str, Any]) -> None:
    refuse(channel, header)


@pytest.mark.parametrize(
    ("channel", "header", "change"),
    [
        ("control_requests", {"type": "ping"}, {"id": "1"}),
        ("control_requests", {"type": "ping"}, {"id": 1.0}),
        ("control_requests", {"type": "ping"}, {"id": None}),
        ("control_requests", {"type": "ping"}, {"id": -1}),
        ("control_requests", {"type": "ping"}, {"id": 2**53}),
        ("control_requests", {"type": "hello"}, {"versions": []}),
        ("control_requests", {"type": "hello"}, {"versions": ["1"]}),
        ("control_requests", {"type": "hello"}, {"versions": list(range(17))}),
        ("control_requests", {"type": "hello"}, {"versions": 1}),
        ("control_requests", {"type": "hello"}, {"agent": "x" * 129}),
        ("control_requests", {"type": "hello"}, {"agent": b"x"}),
        ("control_requests", REGISTER, {"takeover": 1}),
        ("control_requests", REGISTER, {"fence": -1}),
        ("control_requests", REGISTER, {"fence": 2**63}),
        ("control_requests", REGISTER, {"inst": ""}),
        ("control_requests", REGISTER, {"inst": "x" * 65}),
        ("control_requests", REGISTER, {"endpoints": []}),
        ("control_requests", REGISTER, {"endpoints": "tcp://h:1"}),
        ("control_requests", REGISTER, {"endpoints": ["tcp://h:1"] * 9}),
        ("control_requests", REGISTER, {"endpoints": ["http://h:1"]}),
        ("control_requests", REGISTER, {"endpoints": ["tcp://h 1"]}),
        ("control_requests", REGISTER, {"endpoints": ["tcp://" + "h" * 251]}),
        ("control_requests", REGISTER, {"ttl_ms": 99}),
        ("control_requests", REGISTER, {"ttl_ms": 3_600_001}),
        ("control_requests", REGISTER, {"curve_key": "x" * 65}),
        ("data_requests", CHUNKS, {"n": []}),
        ("data_requests", CHUNKS, {"n": [-1]}),
        ("data_requests", CHUNKS, {"n": [2**31]}),
        ("data_requests", CHUNKS, {"n": [0] * (constants.REQUEST_CHUNKS + 1)}),
        ("data_requests", CHUNKS, {"n": [True]}),
        ("data_requests", CHUNKS, {"deadline_ms": 0}),
        ("data_requests", CHUNKS, {"deadline_ms": 600_001}),
        ("data_requests", CHUNKS, {"etag": ""}),
        ("data_requests", CHUNKS, {"etag": "e" * 65}),
        ("data_requests", CHUNKS, {"etag": "\u00e9"}),
        ("data_requests", CHUNKS, {"etag": 7}),
        ("data_requests", {"type": "catalog?"}, {"since_rev": -2}),
        ("data_requests", {"type": "catalog?"}, {"cursor": "x" * 1025}),
        ("data_replies", INFO, {"shape": [2**63]}),
        ("data_replies", INFO, {"shape": [4, 4]}),
        ("data_replies", INFO, {"shape": [1] * 17, "chunks": [1] * 17, "blocks": [1] * 17}),
        ("data_replies", INFO, {"chunksize": 2**31}),
        ("data_replies", INFO, {"chunksize": 5}),
        ("data_replies", INFO, {"blocksize": 4}),
        ("data_replies", INFO, {"blocks": [0]}),
        ("data_replies", INFO, {"blocks": [5]}),
        ("data_replies", INFO, {"typesize": 0}),
        ("data_replies", INFO, {"kind": "table"}),
        ("data_replies", INFO, {"kind": "frame", "shape": [5]}),
        ("data_replies", INFO, {"shape": [2**40]}),
        ("data_replies", INFO, {"vlmeta": {"a": "text"}}),
        ("data_replies", INFO, {"vlmeta": {"a": bytes(constants.VLMETA_BYTES + 1)}}),
        ("data_replies", INFO, {"vlmeta": {str(n): b"" for n in range(1025)}}),
        ("data_replies", INFO, {"attrs": {"a": "text"}}),
        ("data_replies", INFO, {"attrs": {"a": bytes(constants.ATTRS_BYTES)}}),
        ("data_replies", INFO, {"attrs": {"a" * constants.ATTRS_BYTES: b"1"}}),
        ("data_replies", INFO, {"attrs": {str(n): b"" for n in range(1025)}}),
        ("data_replies", INFO, {"cparams": {"filters": [0] * 5}}),
        ("data_replies", INFO, {"cparams": {"codec": 256}}),
    ],
)  # fmt: skip
def test_wrong_values(channel: str, header: dict[str, Any], change: dict[str, Any]) -> None:
    assert decode(channel, header)
    name = next(iter(change))
    assert name in refuse(channel, header | change).detail or header["type"] == "info"


@pytest.mark.parametrize(
    "name", ["", "a/b", "..", "a..b", ".a", "-a", "a b", "a\0", "\u00e9", "@", "x" * 65, b"foo", 1]
)
def test_bad_root_names(name: object) -> None:
    refuse("control_requests", REGISTER | {"root": name})
    refuse("root_notes", {"type": "beat", "root": name, "inst": "i", "fence": 1, "rev": 1})


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\\b", "a\0", "a\nb", "a\x7f",
        "x" * 1025, "/".join("x" * 65), b"a", 1, None,
    ],
)  # fmt: skip
def test_bad_paths(path: object) -> None:
    error = refuse("data_requests", {"type": "info?", "id": 3, "path": path})
    assert codec.request_id(error) == 3


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
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
    | st.binary() | st.sampled_from(["foo", "tcp://h:1", "array", "put", "hello", "change"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
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
