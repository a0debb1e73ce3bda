"""Metadata of Zarr that we write: read back by our own parser, by zarr-python and by tensorstore"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import samples
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays import dtypes
from caterva2.arrays.attributes import Empty, Reference, form_of
from caterva2.formats import zarr_attributes, zarr_documents, zarr_dtypes, zarr_metadata
from caterva2.frames.shards.shard import shard
from tests import thoroughness

pytestmark = pytest.mark.filterwarnings("ignore")
VALUES = np.arange(600.0).reshape(30, 20) + 1
GRID = {"chunks": (20, 10), "blocks": (10, 5)}
DTYPES = [
    "?", "<i2", ">u8", "<f2", ">f4", "<c8", "<c16", "<M8[ns]", "<m8[10s]", "|S3", "<U2", "|V5",
    [("a", "<i4"), ("b", "|S3")],
]  # fmt: skip


def described(values: Any = VALUES, vlmeta: Any = None, **given: Any) -> Any:
    return samples.describe(samples.array_frame(values, vlmeta, **(given or GRID)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_described_dtype_is_read_back(dtype: Any) -> None:
    given = np.dtype(dtype)
    described, fill = zarr_dtypes.described3(given)
    name, config = (
        (described["name"], described["configuration"])
        if isinstance(described, dict)
        else (described, {})
    )
    order = "big" if zarr_dtypes.order_of(given) == ">" else "little"
    assert zarr_dtypes.version3(name, config, order) == given
    assert zarr_dtypes.fill(fill, given) == bytes(given.itemsize)
    assert zarr_dtypes.version2(zarr_dtypes.described2(given)) == given


@pytest.mark.parametrize(
    "dtype",
    ["<f16", "<c32", [("a", "<i4"), ("b", ">i4")], [("a", "<i4", (2,))],
     {"names": ["a"], "formats": ["<i4"], "itemsize": 8}],
    ids=str,
)  # fmt: skip
def test_dtypes_that_zarr_has_not_are_raw_bytes(dtype: Any) -> None:
    given = np.dtype(dtype)
    raw = {"name": "raw_bytes", "configuration": {"length_bytes": given.itemsize}}
    assert zarr_dtypes.described3(given)[0] == raw


def test_long_doubles_are_raw_bytes_in_version_2() -> None:
    assert zarr_dtypes.described2(np.dtype("<f16")) == "|V16"
    assert zarr_dtypes.order_of(np.dtype([("a", "<i4"), ("b", ">i4")])) == "|"


@pytest.mark.parametrize(
    ("given", "storage"),
    [(GRID, "shards"), ({"chunks": (20, 10), "blocks": (20, 10)}, "blosc"),
     ({"chunks": (20, 10), "blocks": (8, 5)}, "values")],
)  # fmt: skip
def test_how_chunks_appear(given: Any, storage: str) -> None:
    info = described(**given)
    assert zarr_documents.storage_of(info) == storage
    assert zarr_documents.storage_of(info, stored=False) == "values"


def test_what_is_no_shard() -> None:
    records = np.zeros((30, 20), "i4,f8")
    assert zarr_documents.storage_of(described(records, **GRID)) == "values"
    wide = np.zeros((30, 20), "S300")
    assert zarr_documents.storage_of(described(wide, **GRID)) == "values"
    delta = {"filters": [blosc2.Filter.DELTA, blosc2.Filter.SHUFFLE]}
    assert zarr_documents.storage_of(described(VALUES, cparams=delta, **GRID)) == "values"
    scalar = described(np.array(3.0), chunks=(), blocks=())
    assert zarr_documents.storage_of(scalar) == "values"


def test_documents_are_what_our_own_parser_reads() -> None:
    info = described(VALUES.astype(">f4"), {"units": "K"}, **GRID)
    text = json.dumps(zarr_documents.array3(info, "shards", "foo@v/x.b2nd")).encode()
    found = zarr_metadata.version3(text)
    assert (found.shape, found.chunks, found.dtype) == ((30, 20), (10, 5), np.dtype(">f4"))
    assert found.shards is not None and found.shards.per == (2, 2) and found.shards.at_end
    assert found.attributes["units"] == "K"
    assert found.attributes["caterva2"] == {"etag": info.etag, "pinned": "foo@v/x.b2nd"}
    old = json.dumps(zarr_documents.array2(info, "shards")).encode()
    read = zarr_metadata.version2(old, zarr_documents.attributes2(info, ""))
    assert (read.shape, read.chunks, read.dtype) == ((30, 20), (10, 5), np.dtype(">f4"))


def test_raw_bytes_keep_their_dtype_as_an_attribute() -> None:
    info = described(VALUES.astype("<f16"), **GRID)
    own = zarr_documents.array3(info, "shards", "")["attributes"]["caterva2"]
    assert dtypes.parse(own["dtype"]) == np.dtype("<f16")


def test_dimensions_and_fill_values_are_as_xarray_has_them() -> None:
    info = described(VALUES, {"_ARRAY_DIMENSIONS": ["y", "x"], "_FillValue": -1.0}, **GRID)
    new = zarr_documents.array3(info, "shards", "")
    assert new["dimension_names"] == ["y", "x"]
    assert "_ARRAY_DIMENSIONS" not in new["attributes"]
    assert new["attributes"]["_FillValue"] == "AAAAAAAA8L8="
    assert zarr_documents.array2(info, "shards")["fill_value"] == -1.0
    old = zarr_documents.attributes2(info, "")
    assert (old["_ARRAY_DIMENSIONS"], "_FillValue" in old) == (["y", "x"], False)
    plain = described(VALUES, **GRID)
    assert "dimension_names" not in zarr_documents.array3(plain, "shards", "")  # of a file
    names = zarr_documents.array3(plain, "shards", "foo@v/x.b2nd")["dimension_names"]
    assert names == zarr_documents.attributes2(plain, "")["_ARRAY_DIMENSIONS"]
    assert [name.rpartition("_")[2] for name in names] == ["0", "1"]
    group = zarr_documents.group3({"title": "t"}, {"etag": "g"})
    assert group["attributes"] == {"title": "t", "caterva2": {"etag": "g"}}


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [(-1, "i2", -1), (True, "?", True), ("NaN", "f4", "AAAAAAAA+H8="), ("ab", "S2", "YWI="),
     ("ab", "U2", "ab"), ([1.0, "NaN"], "c8", ["AAAAAAAA8D8=", "AAAAAAAA+H8="]), (1, "V3", None),
     ("x", "i2", None), (0, "M8[s]", None)],
)  # fmt: skip
def test_a_fill_value_as_xarray_writes_it(value: Any, dtype: str, expected: Any) -> None:
    assert zarr_attributes.xarray_fill(value, np.dtype(dtype)) == expected


VLEN = np.empty(2, object)
VLEN[:] = [np.array([1, 2]), np.array([3])]
ONE = np.empty(1, object)
ONE[:] = [np.array([7])]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (np.array([3]), 3), (np.array([3, 4]), [3, 4]), (float("nan"), "NaN"), ("a", "a"),
     (np.bytes_(b"ab\0"), "ab"), (b"a\xff", "a\\xff"), (np.array(["a"]), ["a"]),
     (1 + 2j, [1.0, 2.0]),
     (Empty("<f4"), None), (Reference("/x"), "/x"), ({"a": [1, None]}, {"a": [1, None]}),
     ({"a": np.array([1, 2])}, {"a": [1, 2]}), ([np.array([1, 2])], [[1, 2]]),
     (np.array((1, 2.5), "i4,f4"), {"f0": 1, "f1": 2.5}), (VLEN, [[1, 2], [3]]), (ONE, [[7]]),
     (np.datetime64("1970-01-02"), 1)],
    ids=repr,
)  # fmt: skip
def test_attributes_are_plain_json(value: Any, expected: Any) -> None:
    found = zarr_attributes.attributes({"x": form_of(value), "CLASS": form_of("y")})
    assert found == {"x": expected}
    json.dumps(found)


@settings(max_examples=thoroughness.examples(100))
@given(
    st.sampled_from(["<f8", ">f4", "<i2", "|u1", "<c16", "<f2", "?"]),
    st.sampled_from([(20, 5), (10, 10), (4, 2), (20, 10)]),
    st.sampled_from([0, 1, 5, 9]),
    st.sampled_from(list(blosc2.SplitMode)),
    st.sampled_from(
        [[blosc2.Filter.SHUFFLE], [blosc2.Filter.BITSHUFFLE], [blosc2.Filter.NOFILTER]]
    ),
    st.sampled_from([blosc2.Codec.LZ4, blosc2.Codec.ZSTD, blosc2.Codec.ZLIB, blosc2.Codec.BLOSCLZ]),
)
def test_others_read_the_shards(
    dtype: str, block: Any, clevel: int, split: Any, filters: Any, codec: Any
) -> None:
    values = np.where(VALUES % 7 < 4, VALUES.round(-2) / 10, VALUES * 0.1).astype(dtype)
    cparams = {"clevel": clevel, "splitmode": split, "filters": filters, "codec": codec}
    frame = samples.array_frame(values, chunks=(20, 20), blocks=block, cparams=cparams)
    info = samples.describe(frame)
    with tempfile.TemporaryDirectory() as place:
        document = zarr_documents.array3(info, "shards", "")
        (Path(place) / "zarr.json").write_text(json.dumps(document))
        for n, chunk in enumerate(samples.raw_chunks(frame)):
            file = Path(place) / "c" / str(n) / "0"
            file.parent.mkdir(parents=True)
            file.write_bytes(shard(chunk))
        if thoroughness.thorough():
            import tensorstore

            spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{place}/"}}
            found = tensorstore.open(spec).result().read().result()
            np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(zarr.open_array(place, mode="r")[...], values)
