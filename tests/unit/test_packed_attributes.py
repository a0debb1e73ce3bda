"""Attributes of a description: packed ones of others are checked, those of vlmeta are typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import blosc2
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays.attributes import value_of
from caterva2.errors import SourceCorrupt
from caterva2.frames import attributes
from tests.thoroughness import examples


@dataclass
class Description:
    vlmeta: dict[str, bytes] = field(default_factory=dict)
    attrs: dict[str, bytes] = field(default_factory=dict)


def values(**vlmeta: Any) -> dict[str, Any]:
    """What a client gets of values that Blosc2 stored."""
    array = blosc2.zeros(1)
    for name, value in vlmeta.items():
        array.schunk.vlmeta[name] = value
    stored = {name: bytes(array.schunk.vlmeta.get_vlmeta(name)) for name in vlmeta}
    return {
        name: value_of(form) for name, form in attributes.forms(Description(vlmeta=stored)).items()
    }


def test_packed_attributes_come_back() -> None:
    packed = attributes.pack(np.array([np.nan], "f4"))
    info = Description(attrs={"fill": packed}, vlmeta={"fill": msgpack.packb("nan")})
    attributes.check(info)
    assert attributes.forms(info) == {"fill": {"dtype": "<f4", "shape": [1], "value": ["NaN"]}}


def test_values_of_vlmeta_are_attributes() -> None:
    found = values(a=1, b="foo", c=float("nan"), d=b"\xb0", e=[1, {"f": None}], g=None)
    assert repr(found) == repr(
        {"a": np.int64(1), "b": "foo", "c": np.float64("nan"), "d": b"\xb0", "e": [1, {"f": None}]}
        | {"g": None}
    )


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.array([np.nan, 1], "f4"),
        np.array(["a", "é"]),
        np.zeros((0, 2)),
        np.array([(1, (2.5, [1, 2]))], [("a", "u1"), ("b", [("c", "<f4"), ("d", "i1", (2,))])]),
    ],
    ids=lambda array: array.dtype.kind,
)
def test_arrays_in_vlmeta_are_arrays(array: Any) -> None:
    for found in (values(x=array)["x"], values(x={"y": [array]})["x"]["y"][0]):
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype


def test_array_of_objects_is_a_list() -> None:
    assert values(x=np.array([["a"], [None]], object))["x"] == [["a"], [None]]


def test_notes_of_programs_are_no_attributes() -> None:
    assert values(**{".hdf5": {"chunks": [1]}, "a": 1}) == {"a": 1}


def extension(**fields: Any) -> bytes:
    return msgpack.packb(msgpack.ExtType(attributes.NDARRAY, msgpack.packb(fields)))


FORGED: dict[str, bytes] = {
    "no map": msgpack.packb(msgpack.ExtType(46, b"\x01")),
    "no msgpack": msgpack.packb(msgpack.ExtType(46, b"\xc1")),
    "objects": extension(dtype={"str": "|O"}, shape=[1], data=bytes(8)),
    "code as dtype": extension(dtype={"str": "__import__('os')"}, shape=[1], data=bytes(8)),
    "fields without names": extension(dtype={"descr": [3]}, shape=[1], data=bytes(8)),
    "too short": extension(dtype={"str": "<i4"}, shape=[3], data=bytes(8)),
    "too long": extension(dtype={"str": "<i4"}, shape=[1], data=bytes(8)),
    "no bytes": extension(dtype={"str": "<i4"}, shape=[2], data="12345678"),
    "huge and empty": extension(dtype={"str": "<i4"}, shape=[2**40, 0], data=b""),
    "huge and empty objects": extension(shape=[2**40, 0], values=[]),
    "negative": extension(dtype={"str": "<i4"}, shape=[-1, -2], data=bytes(8)),
    "17 axes": extension(dtype={"str": "|i1"}, shape=[1] * 17, data=b"1"),
    "other objects": extension(shape=[3], values=[1, 2]),
}


@pytest.mark.parametrize("name", FORGED)
def test_array_that_is_none_is_the_text_that_names_it(name: str) -> None:
    [form] = attributes.forms(Description(vlmeta={"x": FORGED[name]})).values()
    assert str(value_of(form)).startswith("<msgpack extension 46")


def test_arrays_that_are_nested_too_deep_are_bounded() -> None:
    packed = msgpack.packb(1)
    for _ in range(100):
        inner = {"shape": [1], "values": [msgpack.unpackb(packed, ext_hook=msgpack.ExtType)]}
        packed = msgpack.packb(msgpack.ExtType(46, msgpack.packb(inner)))
    [form] = attributes.forms(Description(vlmeta={"x": packed})).values()
    assert str(value_of(form)).startswith("<msgpack extension 46")


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        msgpack.packb({"dtype": "<i4", "shape": [2], "value": [1]}),
        msgpack.packb({"dtype": "|O", "shape": [], "value": 1}),
        msgpack.packb({"dtype": "<f4", "shape": [], "value": float("nan")}),
        msgpack.packb({"dtype": "json", "value": msgpack.Timestamp(1)}),
        msgpack.packb({"dtype": "json", "value": msgpack.ExtType(5, b"x")}),
        b"\x91" * 5000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
    ],
    ids=lambda packed: repr(packed[:20]),
)
def test_packed_attribute_of_others_that_is_none_is_refused_by_name(packed: bytes) -> None:
    with pytest.raises(SourceCorrupt, match="attribute 'title'"):
        attributes.check(Description(attrs={"good": attributes.pack(1), "title": packed}))


@settings(max_examples=examples(300))
@given(st.binary(max_size=40))
def test_any_bytes_are_an_attribute_or_refused(packed: bytes) -> None:
    info = Description(attrs={"x": packed})
    try:
        attributes.check(info)
    except SourceCorrupt:
        return
    value_of(attributes.forms(info)["x"])
