"""Types of messages: which channel carries them, and the bounds of their values."""

from __future__ import annotations

from typing import Any

import pytest
from decoding import CHANNELS, CHUNKS, INFO, REGISTER, decode, refuse

from caterva2.limits import constants
from caterva2.wire import codec


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_unknown_type_is_a_bad_message(channel: str) -> None:
    kinds: list[object] = ["", "blocks?", "PING", 7, None, True, [], {}, b"ping"]
    for kind in kinds:
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
        ("data_replies", INFO, {"dims": ["a", "b"]}),
        ("data_replies", INFO, {"dims": ["a" * 257]}),
        ("data_replies", INFO, {"dims": [""]}),
        ("data_replies", INFO, {"dims": [None] * 17}),
        ("data_replies", INFO, {"columns": [""]}),
        ("data_replies", INFO, {"columns": ["a"] * 1025}),
        ("data_replies", INFO, {"columns": ["a" * 1000] * 100}),
        ("data_replies", INFO, {"nrows": -1}),
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
