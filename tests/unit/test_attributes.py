"""Typed values of attributes: their JSON loses nothing, and what is no attribute is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from caterva2.arrays.attributes import Empty, Reference, form_of, value_of
from tests.thoroughness import CHARACTERS, examples

COLOURS = np.dtype("<i2", metadata={"enum": {"RED": 0, "GREEN": 1}})


def there_and_back(value: Any) -> Any:
    """What a client makes of the JSON of a value."""
    return value_of(json.loads(json.dumps(form_of(value), allow_nan=False)))


def objects(*items: Any) -> Any:
    made = np.empty(len(items), object)
    for n, item in enumerate(items):
        made[n] = item
    return made


FORMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "integer": (np.int16(-3), {"dtype": "<i2", "shape": [], "value": -3}),
    "Python's integer": (2**63, {"dtype": "<u8", "shape": [], "value": 2**63}),
    "boolean": (True, {"dtype": "|b1", "shape": [], "value": True}),
    "NaN": (np.array([math.nan], "f4"), {"dtype": "<f4", "shape": [1], "value": ["NaN"]}),
    "infinities": (
        np.array([math.inf, -math.inf, 0.5], ">f8"),
        {"dtype": ">f8", "shape": [3], "value": ["Infinity", "-Infinity", 0.5]},
    ),
    "NaN with a payload": (
        np.array(0x7E01, "u2").view("f2"), {"dtype": "<f2", "shape": [], "value": "0x7e01"}
    ),
    "NaN of the other sign": (
        np.array(0xFFC00000, "u4").view("f4"),
        {"dtype": "<f4", "shape": [], "value": "0xffc00000"},
    ),
    "complex": (
        complex(1, math.nan), {"dtype": "<c16", "shape": [], "value": [1.0, "NaN"]}
    ),
    "date": (
        np.array(["1970-01-03", "NaT"], "M8[D]"),
        {"dtype": "<M8[D]", "shape": [2], "value": [2, "NaT"]},
    ),
    "text": ("größe", {"dtype": "text", "shape": [], "value": "größe"}),
    "bytes": (b"\xb0", {"dtype": "bytes", "shape": [], "value": "sA=="}),
    "bytes of a fixed length": (
        np.array([b"\xb0", b"ab"]), {"dtype": "|S2", "shape": [2], "value": ["sA==", "YWI="]}
    ),
    "text of a fixed length": (np.array(["é"]), {"dtype": "<U1", "shape": [1], "value": ["é"]}),
    "opaque": (np.void(b"a\0"), {"dtype": "|V2", "shape": [], "value": "YQA="}),
    "texts": (
        np.array([["a"], ["bé"]], object),
        {"dtype": "text", "shape": [2, 1], "value": [["a"], ["bé"]]},
    ),
    "reference": (Reference("/g/x"), {"dtype": "reference", "shape": [], "value": "/g/x"}),
    "references": (
        objects(Reference("/x"), Reference()),
        {"dtype": "reference", "shape": [2], "value": ["/x", ""]},
    ),
    "enumeration": (
        np.array([1], COLOURS),
        {"dtype": "<i2", "shape": [1], "value": [1], "enum": {"RED": 0, "GREEN": 1}},
    ),
    "record": (
        np.array([(1, [2.5, 3.5])], [("a", "u1"), ("b", "<f4", (2,))]),
        {
            "dtype": "record", "shape": [1], "fields": {
                "a": {"dtype": "|u1", "shape": [1], "value": [1]},
                "b": {"dtype": "<f4", "shape": [1, 2], "value": [[2.5, 3.5]]},
            },
        },
    ),
    "items of variable length": (
        objects(np.arange(3, dtype="u1"), np.arange(1, dtype="u1")),
        {
            "dtype": "vlen", "shape": [2], "lengths": [3, 1],
            "items": {"dtype": "|u1", "shape": [4], "value": [0, 1, 2, 0]},
        },
    ),
    "no items": (np.empty((0, 2), "i1"), {"dtype": "|i1", "shape": [0, 2], "value": []}),
    "no items at the end": (
        np.empty((2, 0), "i1"), {"dtype": "|i1", "shape": [2, 0], "value": [[], []]}
    ),
    "no value": (Empty("<f4"), {"dtype": "<f4", "shape": None}),
    "None": (None, {"dtype": "json", "value": None}),
    "JSON": ({"a": [1, None, "x"]}, {"dtype": "json", "value": {"a": [1, None, "x"]}}),
    "list that is no JSON": (
        [math.nan], {"dtype": "list", "items": [{"dtype": "<f8", "shape": [], "value": "NaN"}]}
    ),
    "dictionary that is no JSON": (
        {1: "x"},
        {
            "dtype": "map", "items": [[
                {"dtype": "<i8", "shape": [], "value": 1},
                {"dtype": "text", "shape": [], "value": "x"},
            ]],
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_form_of_a_value(name: str) -> None:
    value, form = FORMS[name]
    assert form_of(value) == form
    assert json.loads(json.dumps(form, allow_nan=False)) == form


@pytest.mark.parametrize("name", FORMS)
def test_value_of_a_form(name: str) -> None:
    value, form = FORMS[name]
    found = value_of(form)
    if isinstance(value, Empty):
        assert found is None
        return
    same(found, value)


def same(found: Any, value: Any) -> None:
    """Compare values with their types, NaN and the bits of NaN among them."""
    if isinstance(value, list):
        assert len(found) == len(value)
        for one, other in zip(found, value, strict=True):
            same(one, other)
        return
    expected = np.asarray(value)
    assert np.shape(found) == expected.shape
    if expected.dtype.kind == "O":
        flat = np.asarray(found, object).reshape(-1).tolist()
        for one, other in zip(flat, expected.reshape(-1).tolist(), strict=True):
            assert type(one) is type(other)
            np.testing.assert_array_equal(one, other)
    elif isinstance(value, str | bytes) and not isinstance(value, np.generic):
        assert (found, type(found)) == (value, type(value))
    else:
        assert np.asarray(found).dtype == expected.dtype
        assert np.asarray(found).tobytes() == expected.tobytes()


def test_scalar_is_a_scalar_of_numpy() -> None:
    found = there_and_back(np.float32(0.1))
    assert type(found) is np.float32
    assert found == np.float32(0.1)


def test_enumeration_has_its_names() -> None:
    found = there_and_back(np.array([1, 0], COLOURS))
    assert found.dtype.metadata == {"enum": {"RED": 0, "GREEN": 1}}


def test_record_has_its_fields() -> None:
    dtype = np.dtype([("name", object), ("x", "<f4", (2,)), ("colour", COLOURS)])
    value = np.zeros(2, dtype)
    value["name"], value["colour"] = ["a", "b"], [1, 0]
    found = there_and_back(value)
    assert found["name"].tolist() == ["a", "b"]
    assert found.dtype["x"] == np.dtype(("<f4", (2,)))
    assert found["colour"].dtype.metadata == {"enum": {"RED": 0, "GREEN": 1}}
    one = there_and_back(value[0])
    assert (one["name"], one["colour"]) == ("a", 1)


def test_runs_of_texts() -> None:
    found = there_and_back(objects(objects("a", "b"), objects("c")))
    assert [run.tolist() for run in found] == [["a", "b"], ["c"]]


def test_runs_of_none_are_of_their_type() -> None:
    dtype = np.dtype(object, metadata={"vlen": np.dtype("<i4")})
    assert form_of(np.empty(0, dtype))["items"]["dtype"] == "<i4"


@pytest.mark.parametrize(
    ("metadata", "kind"), [({"ref": object}, "reference"), ({"vlen": bytes}, "bytes"), ({}, "text")]
)
def test_no_objects_are_of_the_type_that_h5py_notes(metadata: Any, kind: str) -> None:
    assert form_of(np.empty(0, np.dtype(object, metadata=metadata)))["dtype"] == kind


def test_long_double_is_exact() -> None:
    for value in (np.longdouble(1) / 3, np.longdouble(0.5), np.longdouble("nan")):
        found = there_and_back(value)
        assert found.dtype == np.longdouble
        np.testing.assert_array_equal(found, value)


NUMBERS = st.sampled_from(
    [
        "?",
        "i1",
        "u2",
        ">i4",
        "<i8",
        ">u8",
        "f2",
        ">f4",
        "<f8",
        "c8",
        ">c16",
        "M8[ns]",
        ">m8[s]",
        "S3",
        "U2",
        "V4",
    ]
)


@settings(max_examples=examples(300))
@given(NUMBERS, hn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), st.data())
def test_arrays_of_any_bits_come_back(code: str, shape: tuple[int, ...], data: Any) -> None:
    dtype = np.dtype(code)
    count = math.prod(shape)
    if dtype.kind in ("b", "U"):  # not every bit is an item
        items = data.draw(st.lists(hn.from_dtype(dtype), min_size=count, max_size=count))
        value = np.array(items, dtype).reshape(shape)
    else:
        raw = data.draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
        value = np.frombuffer(raw, dtype).reshape(shape)
    same(there_and_back(value), value if shape else value[()])


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
    | st.text(CHARACTERS, max_size=4) | st.binary(max_size=4) | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(CHARACTERS, max_size=3), inner),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=examples(300))
@given(PLAIN)
def test_plain_values_come_back(value: Any) -> None:
    assert repr(plainly(there_and_back(value))) == repr(value)


def plainly(value: Any) -> Any:
    """Python's own numbers instead of numpy's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list):
        return [plainly(item) for item in value]
    return {k: plainly(v) for k, v in value.items()} if isinstance(value, dict) else value
