"""Dtypes and fill values of Zarr's metadata, in all their spellings"""

from __future__ import annotations

import base64
import struct
from typing import Any

import numpy as np
import pytest

from caterva2.errors import SourceCorrupt
from caterva2.formats import zarr_dtypes


@pytest.mark.parametrize(
    ("name", "config", "endian", "dtype"),
    [
        ("bool", {}, "little", "?"),
        ("int8", {}, "big", "i1"),
        ("uint16", {}, "big", ">u2"),
        ("float16", {}, "little", "<f2"),
        ("complex128", {}, "big", ">c16"),
        ("r24", {}, "little", "V3"),
        ("raw_bytes", {"length_bytes": 3}, "little", "V3"),
        ("null_terminated_bytes", {"length_bytes": 5}, "little", "S5"),
        ("fixed_length_utf32", {"length_bytes": 12}, "little", "<U3"),
        ("fixed_length_utf32", {"length_bytes": 12}, "big", ">U3"),
        ("numpy.datetime64", {"unit": "s", "scale_factor": 10}, "little", "<M8[10s]"),
        ("numpy.timedelta64", {"unit": "generic", "scale_factor": 1}, "big", ">m8"),
    ],
)
def test_data_types_of_version_3(name: str, config: Any, endian: str, dtype: str) -> None:
    assert zarr_dtypes.version3(name, config, endian) == np.dtype(dtype)


@pytest.mark.parametrize("form", ["pairs", "objects"])
def test_records_of_version_3(form: str) -> None:
    fields: list[Any] = [["a", "int16"], ["b", {"name": "r16"}]]
    if form == "objects":
        fields = [{"name": name, "data_type": inner} for name, inner in fields]
    found = zarr_dtypes.version3("structured", {"fields": fields}, "big")
    assert found == np.dtype([("a", ">i2"), ("b", "V2")])


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("float128", {}), ("rest", {}), ("raw_bytes", {}), ("raw_bytes", {"length_bytes": -1}),
        ("fixed_length_utf32", {"length_bytes": "4"}), ("string", {}), ("structured", {}),
        ("structured", {"fields": [["a"]]}), ("structured", {"fields": [[1, "int8"]]}),
        ("structured", {"fields": [7]}), ("numpy.datetime64", {"unit": "];import"}),
    ],
)  # fmt: skip
def test_data_types_that_are_refused(name: str, config: Any) -> None:
    with pytest.raises(SourceCorrupt):
        zarr_dtypes.version3(name, config)


def test_data_types_that_are_nested_too_deep() -> None:
    inner: Any = "int8"
    for _ in range(1000):
        inner = {"name": "structured", "configuration": {"fields": [["a", inner]]}}
    with pytest.raises(SourceCorrupt):
        zarr_dtypes.version3("structured", inner["configuration"])


NAN_BITS = struct.unpack("<f", struct.pack("<I", 0x7FC00001))[0]
RECORD = np.dtype([("a", "<i2"), ("b", "S2")])


@pytest.mark.parametrize(
    ("value", "dtype", "item"),
    [
        (None, "f8", bytes(8)),
        (1.5, "<f4", np.float32(1.5).tobytes()),
        (3, "<f8", np.float64(3).tobytes()),
        ("Infinity", ">f4", np.array(np.inf, ">f4").tobytes()),
        ("-Infinity", "<f8", np.float64(-np.inf).tobytes()),
        ("0x7fc00001", "<f4", struct.pack("<I", 0x7FC00001)),
        ([1, "Infinity"], "<c8", np.complex64(complex(1, np.inf)).tobytes()),
        (2, "<c16", np.complex128(2).tobytes()),
        (True, "?", b"\1"),
        (-1, "<i2", b"\xff\xff"),
        (2.0, "<u2", b"\2\0"),
        (2**63, "<u8", struct.pack("<Q", 2**63)),
        ("NaT", "<M8[s]", struct.pack("<q", -(2**63))),
        (5, "<m8[ms]", struct.pack("<q", 5)),
        ("ab", "<U3", np.array("ab", "<U3").tobytes()),
        (0, "<U3", bytes(12)),
        ("", "S3", bytes(3)),
        (0, "S3", bytes(3)),
        (base64.b64encode(b"ab").decode(), "S3", b"ab\0"),
        ([1, 2, 3], "V3", b"\1\2\3"),
        (base64.b64encode(b"\1\0xy").decode(), RECORD, b"\1\0xy"),
        ({"a": 1, "b": base64.b64encode(b"xy").decode()}, RECORD, b"\1\0xy"),
    ],
    ids=str,
)
def test_fill_values(value: Any, dtype: Any, item: bytes) -> None:
    assert zarr_dtypes.fill(value, np.dtype(dtype)) == item


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ("zero", "f8"), (1.5, "i4"), (300, "u1"), ("0xzz", "f4"), ([1], "c8"), ("!!", "S3"),
        (base64.b64encode(b"abcd").decode(), "S3"), (base64.b64encode(b"a").decode(), "V3"),
        ({"a": 1}, RECORD), ([], "i4"), ("x" * 10, "U3"), ("never", "M8[s]"), ({}, "f8"),
        ("0x1ffffffff", "f4"),
    ],
    ids=str,
)  # fmt: skip
def test_fill_values_that_do_not_fit(value: Any, dtype: Any) -> None:
    with pytest.raises(SourceCorrupt):
        zarr_dtypes.fill(value, np.dtype(dtype))
