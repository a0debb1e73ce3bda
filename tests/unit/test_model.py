"""The shared nouns validate themselves."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from caterva2.errors import BadName
from caterva2.limits import constants
from caterva2.model import DatasetInfo, Entry, RootInfo
from caterva2.names import DatasetPath, RootName

ARRAY: dict[str, Any] = {
    "path": "a.b2nd", "etag": "v1", "mtime": 1.0, "kind": "array", "shape": (10, 20),
    "chunks": (5, 5), "blocks": (2, 3), "dtype": "<u2", "typesize": 2, "chunksize": 72,
    "blocksize": 12, "nbytes": 576, "cbytes": 100,
}  # fmt: skip
FRAME: dict[str, Any] = {
    "path": "a.b2frame", "etag": "v1", "mtime": 1.0, "kind": "frame", "shape": (1200,),
    "chunks": (100,), "blocks": (100,), "chunksize": 100, "blocksize": 100, "nbytes": 1200,
    "cbytes": 100,
}  # fmt: skip
ENTRY: dict[str, Any] = {"path": "a", "kind": "file", "etag": "v1", "size": 1, "mtime": 0.0}
ENTRIES = TypeAdapter(Entry)


def test_an_array() -> None:
    info = DatasetInfo(**ARRAY)
    assert info.nchunks == 8
    assert info.chunk_nbytes(7) == 72


def test_the_last_chunk_of_a_byte_string_is_shorter() -> None:
    info = DatasetInfo(**FRAME | {"shape": (1150,), "nbytes": 1150})
    assert [info.chunk_nbytes(n) for n in (0, info.nchunks - 1)] == [100, 50]


def test_a_scalar_has_one_chunk() -> None:
    scalar = {"shape": (), "chunks": (), "blocks": (), "chunksize": 2, "blocksize": 2}
    assert DatasetInfo(**ARRAY | scalar).nchunks == 1


def test_an_empty_array_has_no_chunks() -> None:
    assert DatasetInfo(**ARRAY | {"shape": (0, 20)}).nchunks == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunks": (5,)},
        {"blocks": (2, 3, 1)},
        {"blocks": (6, 3)},
        {"blocks": (0, 3)},
        {"chunks": (0, 5)},
        {"blocksize": 14},
        {"chunksize": 50},
        {"shape": (-1, 20)},
        {"shape": (2**63, 20)},
        {"shape": (1,) * 17, "chunks": (1,) * 17, "blocks": (1,) * 17},
        {"shape": (2**40, 2**40)},
        {"typesize": 0},
        {"typesize": constants.ITEMSIZE + 1},
        {"etag": ""},
        {"etag": "é"},
        {"etag": "x" * 65},
        {"kind": "other"},
        {"nbytes": True},
        {"vlmeta": {"a": bytes(constants.VLMETA_BYTES + 1)}},
        {"vlmeta": {str(n): b"" for n in range(constants.VLMETA_ITEMS + 1)}},
        {"attrs": {"a": bytes(constants.ATTRS_BYTES)}},
        {"attrs": {str(n): b"" for n in range(constants.ATTRS_ITEMS + 1)}},
        {"dtype": "x" * (constants.DTYPE_LENGTH + 1)},
    ],
)
def test_an_array_that_makes_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DatasetInfo(**ARRAY | wrong)


@pytest.mark.parametrize("wrong", [{"chunks": (50,)}, {"shape": (1199,)}, {"chunksize": 99}])
def test_a_byte_string_that_makes_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DatasetInfo(**FRAME | wrong)


def test_names_become_names() -> None:
    info = RootInfo(root="foo", inst="i", fence=1, endpoints=("tcp://h:1",))  # type: ignore[arg-type]
    assert isinstance(info.root, RootName)
    assert isinstance(DatasetInfo(**ARRAY).path, DatasetPath)


@pytest.mark.parametrize("path", ["../x", "/x", ""])
def test_a_bad_path_is_refused(path: str) -> None:
    with pytest.raises(BadName):
        ENTRIES.validate_python(ENTRY | {"path": path})


@pytest.mark.parametrize(
    "wrong", [{"kind": "link"}, {"etag": 'a"'}, {"size": True}, {"size": -1}, {"size": "1"},
              {"mtime": "1"}, {"mtime": math.nan}],
)  # fmt: skip
def test_an_entry_that_comes_in_is_validated(wrong: dict[str, object]) -> None:
    assert ENTRIES.validate_python(ENTRY | {"unknown": 1}).fields() == ENTRY
    with pytest.raises(ValidationError):
        ENTRIES.validate_python(ENTRY | wrong)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://h", "tcp://", "tcp://a b", "inproc://x", "x" * 300, "ipc:///tmp/x", "tcp://h",
        "tcp://h:0", "tcp://h:65536", "tcp://h:99999", "tcp://a;127.0.0.1:80", "tcp://h:1/x",
        "tcp://\x1b[2J:1", "tcp://é:1", "tcp://h:1\n", "tcp://[::1:1", "tcp://user@h:1",
    ],
)  # fmt: skip
def test_an_endpoint_is_a_host_and_a_port(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        RootInfo(root=RootName("foo"), inst="i", fence=1, endpoints=(endpoint,))


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://h:1", "tcp://10.0.0.7:65535", "tcp://[::1]:8001", "tcp://[fe80::1%eth0]:8001",
     "tcp://a-b.example_1:8001", "tcp://*:8001"],
)  # fmt: skip
def test_what_an_endpoint_may_be(endpoint: str) -> None:
    RootInfo(root=RootName("foo"), inst="i", fence=1, endpoints=(endpoint,))


def test_unknown_keys_are_ignored() -> None:
    assert DatasetInfo(**ARRAY, future=1) == DatasetInfo(**ARRAY)


def test_json_and_back() -> None:
    info = DatasetInfo(**ARRAY, vlmeta={"a": b"\xff\x00"})
    assert DatasetInfo.model_validate_json(info.model_dump_json()) == info


def test_they_are_frozen() -> None:
    with pytest.raises(ValidationError):
        DatasetInfo(**ARRAY).etag = "v2"  # type: ignore[misc]
