"""vlmeta values: plain data and nothing else, within bounds."""

from __future__ import annotations

import json
from typing import Any

import blosc2
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.errors import SourceCorrupt
from caterva2.frames import metadata
from caterva2.limits import constants
from tests.thoroughness import CHARACTERS, examples

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(CHARACTERS, max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS, max_size=3), inner)
    ),
    max_leaves=8,
)


def _stored(value: Any) -> bytes:
    """What Blosc2 stores for a value."""
    array = blosc2.zeros(1)
    array.schunk.vlmeta["x"] = value
    return bytes(array.schunk.vlmeta.get_vlmeta("x"))


@pytest.mark.parametrize(
    "value",
    [1, "foo", 1.5, None, True, b"\xff", [1, [2]], {"a": {"b": 1}}, (1, (2, "x")), 1 + 2j, [], {}],
)
def test_plain_values_come_back(value: Any) -> None:
    found = metadata.decode(_stored(value))
    assert found == value
    assert type(found) is type(value)


def test_a_set_comes_back_as_a_set() -> None:
    assert metadata.decode(_stored({1, 2})) in ({1, 2}, [1, 2])


def test_all_entries_of_a_dataset() -> None:
    assert metadata.decode_all({"a": b"\x01", "b": b"\xc0"}) == {"a": 1, "b": None}


@pytest.mark.parametrize("code", [0, 42, 43, 46, 127])
def test_an_extension_that_is_no_plain_data_becomes_a_text(code: int) -> None:
    packed = msgpack.packb(msgpack.ExtType(code, b"payload"))
    assert metadata.decode(packed) == f"<msgpack extension {code}, 7 bytes>"


def test_an_array_in_a_value_is_not_rebuilt() -> None:
    assert isinstance(metadata.decode(_stored(np.arange(3))), str)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        b"\x92\x01",
        b"\x01\x02",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xa1\xff",
        b"\x81\x91\x01\x02",
        b"\xd6\x2d\x91\x91\x91\x91",
    ],
)
def test_what_is_no_value_is_refused(packed: bytes) -> None:
    with pytest.raises(SourceCorrupt):
        metadata.decode(packed)


def test_a_value_that_is_too_large_is_refused() -> None:
    with pytest.raises(SourceCorrupt):
        metadata.decode(msgpack.packb(b"x" * constants.VLMETA_BYTES))


@pytest.mark.parametrize("depth", [constants.METADATA_DEPTH + 1, 500, 900, 5000])
@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a"])
def test_a_value_that_is_nested_too_deep_is_refused(depth: int, opening: bytes) -> None:
    with pytest.raises(SourceCorrupt):
        metadata.decode(opening * depth + b"\xc0")


def test_sets_in_sets_are_bounded_too() -> None:
    packed = b"\xc0"
    for _ in range(constants.METADATA_DEPTH + 2):
        packed = msgpack.packb(msgpack.ExtType(45, packed))
    with pytest.raises(SourceCorrupt):
        metadata.decode(packed)


@settings(max_examples=examples(500))
@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_refused(packed: bytes) -> None:
    try:
        value = metadata.decode(packed)
    except SourceCorrupt:
        return
    json.dumps(metadata.jsonable(value), allow_nan=False)


@settings(max_examples=examples(150))
@given(VALUES)
def test_jsonable_is_strict_json(value: Any) -> None:
    packed = msgpack.packb(value)
    json.dumps(metadata.jsonable(metadata.decode(packed)), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (1.5, 1.5),
        (True, True),
        (b"ab", "ab"),
        (b"\xff", "\\xff"),
        (1 + 2j, [1.0, 2.0]),
        (complex("nan+1j"), ["nan", 1.0]),
        ((1, [2]), [1, [2]]),
        ({1}, [1]),
        ({1: {None: b"x"}}, {"1": {"None": "x"}}),
        (None, None),
    ],
)
def test_jsonable(value: Any, expected: Any) -> None:
    assert metadata.jsonable(value) == expected
