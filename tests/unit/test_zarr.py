"""Zarr stores as roots: what zarr-python reads is served, with stored chunks where they fit"""

from __future__ import annotations

import itertools
import logging
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from sourcereads import path_of, values_of
from zarr.codecs import BloscCodec, GzipCodec, TransposeCodec, ZstdCodec
from zarr.storage import LocalStore, ZipStore
from zarrstores import VALUES, put, served

from caterva2.errors import NotFound, StartError
from caterva2.formats import zarr_documents
from caterva2.frames import attributes, metadata
from caterva2.names import DatasetPath
from caterva2.stores.opening import open_zarr
from caterva2.stores.zarr.contents import CHUNK_KEY
from tests.thoroughness import examples, some

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store.zarr"


# --- dimensions ---


@pytest.mark.parametrize(
    ("zarr_format", "given"),
    [(3, {"dimension_names": ["x", None]}), (2, {"attributes": {"_ARRAY_DIMENSIONS": ["x", ""]}})],
)
def test_names_of_dimensions(place: Path, zarr_format: int, given: dict[str, Any]) -> None:
    put(place, "a", zarr_format=zarr_format, **given)
    info = served(place).info(path_of("a"))
    assert attributes.dims(info) == ("x", None)


# --- values ---

DTYPES = ["?", "i1", "<u2", ">i4", "f2", "<f4", ">f8", "c8", "c16", "S3", "U4", "M8[s]", "m8[ms]"]
COMPRESSORS3: dict[str, Any] = {
    "none": None, "zstd": ZstdCodec(level=1), "gzip": GzipCodec(),
    **{f"blosc {name} {shuffle}": BloscCodec(cname=name, shuffle=shuffle)
       for name in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
       for shuffle in ("noshuffle", "shuffle", "bitshuffle")},
}  # fmt: skip
COMPRESSORS2: dict[str, Any] = {
    "none": None, "zstd": numcodecs.Zstd(1), "gzip": numcodecs.GZip(), "zlib": numcodecs.Zlib(),
    "bz2": numcodecs.BZ2(), "lzma": numcodecs.LZMA(), "lz4": numcodecs.LZ4(),
    **{f"blosc {name} {shuffle}": numcodecs.Blosc(name, 5, shuffle)
       for name in ("blosclz", "lz4", "lz4hc", "zlib", "zstd") for shuffle in (0, 1, 2)},
}  # fmt: skip


def random_values(dtype: str, shape: tuple[int, ...], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    numbers = rng.integers(0, 100, shape)
    if kind in "SU":
        return numbers.astype(dtype)
    if kind == "c":
        return (numbers + 1j * (numbers + 1)).astype(dtype)
    return numbers.astype(dtype)


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Any]:
    """What is given to zarr-python to write an array, and the values of it."""
    shape = tuple(draw(st.lists(st.integers(1, 40), max_size=3)))
    chunks = tuple(draw(st.integers(1, size + 5)) for size in shape)
    version = draw(st.sampled_from([2, 3]))
    known = COMPRESSORS3 if version == 3 else COMPRESSORS2
    given: dict[str, Any] = {
        "zarr_format": version, "chunks": chunks,
        "compressors": known[draw(st.sampled_from(sorted(known)))],
        "chunk_key_encoding": {
            "name": draw(st.sampled_from(["default", "v2"])) if version == 3 else "v2",
            "separator": draw(st.sampled_from([".", "/"])),
        },
    }  # fmt: skip
    dtype = draw(st.sampled_from(DTYPES))
    if version == 2 and draw(st.booleans()):
        given["order"] = "F"
    if version == 3 and shape and draw(st.booleans()):
        given["filters"] = [TransposeCodec(order=draw(st.permutations(range(len(shape)))))]
    elif version == 3 and shape and draw(st.booleans()):
        given["shards"] = tuple(n * draw(st.integers(1, 3)) for n in chunks)
    if np.dtype(dtype).kind in "if" and draw(st.booleans()):
        given["fill_value"] = 7
    values = random_values(dtype, shape, draw(st.integers(0, 2**32)))
    part = tuple(slice(0, draw(st.integers(0, size))) for size in shape)
    return {"given": given, "values": values, "part": part}


@settings(max_examples=examples(100), deadline=None)
@given(case=stores(), zipped=st.booleans())
def test_what_zarr_python_reads_is_served(case: dict[str, Any], zipped: bool) -> None:
    check(case, zipped)


@pytest.mark.slow
@settings(max_examples=examples(300))
@given(case=stores(), zipped=st.booleans())
def test_what_zarr_python_reads_is_served_in_many_cases(case: dict[str, Any], zipped: bool) -> None:
    check(case, zipped)


def check(case: dict[str, Any], zipped: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_in(Path(folder), case, zipped)


def check_in(folder: Path, case: dict[str, Any], zipped: bool) -> None:
    place = folder / ("s.zip" if zipped else "s.zarr")
    store: Any = ZipStore(place, mode="w") if zipped else LocalStore(place)
    values, given = case["values"], case["given"]
    group = zarr.create_group(store, zarr_format=given.pop("zarr_format"))
    array = group.create_array("d/a", shape=values.shape, dtype=values.dtype, **given)
    array[case["part"]] = values[case["part"]]
    expected, dtype = array[...], array.dtype
    store.close()
    source = served(place)
    found = values_of(source, "d/a")
    source.close()
    assert found.dtype.newbyteorder("=") == dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [[("a", "<i2"), ("b", ">f8"), ("c", "S3")], "V5"])
def test_records_and_opaque_items_of_version_2(dtype: Any, place: Path) -> None:
    values = np.frombuffer(bytes(range(130)), np.uint8).view(np.dtype(dtype))[:10]
    array = put(place, "a", values, zarr_format=2, chunks=(4,))
    np.testing.assert_array_equal(values_of(served(place), "a"), array[...])


@pytest.mark.parametrize(
    "filters",
    [
        [numcodecs.Delta("<i4")],
        [numcodecs.FixedScaleOffset(offset=1, scale=2, dtype="<i4", astype="<i4")],
        [numcodecs.Shuffle(4)],
        [numcodecs.Delta("<i4"), numcodecs.Shuffle(4)],
        [numcodecs.CRC32()],
    ],
    ids=str,
)
def test_filters_of_version_2(filters: list[Any], place: Path) -> None:
    values = np.arange(100, dtype="<i4")
    array = put(place, "a", values, zarr_format=2, chunks=(30,), filters=filters)
    np.testing.assert_array_equal(values_of(served(place), "a"), array[...])


@pytest.mark.parametrize("fill", [0.0, 7.5, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("version", [2, 3])
def test_chunks_that_are_not_stored_hold_the_fill_value(
    fill: float, version: int, place: Path
) -> None:
    group = zarr.open_group(place, mode="a", zarr_format=version)
    given: dict[str, Any] = {"chunks": (30,), "dtype": "f8", "compressors": None}
    group.create_array("a", shape=(100,), fill_value=fill, **given)[30:60] = 1
    source = served(place)
    np.testing.assert_array_equal(values_of(source, "a"), group["a"][...])
    assert source.converted == (4 if fill in (7.5, np.inf, -np.inf) else 1)


def test_chunks_of_zeros_take_no_room(place: Path) -> None:
    zarr.open_group(place, mode="a").create_array("a", shape=(10**9,), chunks=(10**6,), dtype="f8")
    source = served(place)
    etag = source.info(path_of("a")).etag
    assert [len(run.payload) for run in source.chunks(path_of("a"), etag, range(100))] == [3200]


# --- passing on ---


@pytest.mark.parametrize(
    ("codec", "shuffle"),
    some(
        [
            *itertools.product(
                ["blosclz", "lz4", "lz4hc", "zlib", "zstd"], ["noshuffle", "shuffle", "bitshuffle"]
            )
        ],
        2,
    ),
)
def test_chunks_of_blosc_are_passed_on(codec: str, shuffle: Any, place: Path) -> None:
    values = np.arange(256 * 256, dtype="f4").reshape(256, 256)
    blosc = BloscCodec(cname=codec, shuffle=shuffle, blocksize=1024)  # type: ignore[arg-type]
    put(place, "a", values, chunks=(64, 64), compressors=blosc)
    put(place, "s", values, chunks=(64, 64), shards=(128, 256), compressors=blosc)
    source = served(place)
    for name in ("a", "s"):
        np.testing.assert_array_equal(values_of(source, name), values)
    assert (source.passed, source.converted) == (32, 0)


def test_what_has_no_such_blocks_is_converted(place: Path) -> None:
    put(place, "zstd", compressors=ZstdCodec())
    put(place, "order", filters=[TransposeCodec(order=(1, 0))])
    put(place, "blocks", np.arange(60000.0), chunks=(50000,), compressors=BloscCodec(blocksize=256))
    source = served(place)
    for name in ("zstd", "order", "blocks"):
        np.testing.assert_array_equal(
            values_of(source, name), zarr.open_group(place, mode="r")[name][...]
        )
    assert (source.passed, source.converted) == (0, 10)


def test_a_chunk_with_other_blocks_than_its_array_is_converted(place: Path) -> None:
    array = put(place, "a", np.arange(40_000.0), chunks=(20_000,))
    other = numcodecs.Blosc("zstd", 1, blocksize=8 * 5_000).encode(np.arange(20_000.0))
    (place / "a/c/1").write_bytes(other)
    source = served(place)
    np.testing.assert_array_equal(values_of(source, "a"), array[...])
    assert (source.passed, source.converted) == (1, 1)


# --- the hierarchy ---


def test_groups_are_directories(place: Path) -> None:
    for name in ("a", "g/b", "g/h/c"):
        put(place, name)
    assert list(served(place).scan()) == ["a.b2nd", "g/b.b2nd", "g/h/c.b2nd"]
    assert list(served(place).scan("g/h")) == ["g/h/c.b2nd"]


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_of_one_array_has_the_name_of_its_directory(version: int, place: Path) -> None:
    zarr.create_array(place, data=VALUES, chunks=(30, 35), zarr_format=version)  # type: ignore[arg-type]
    source = served(place)
    assert list(source.scan()) == ["store.b2nd"]
    np.testing.assert_array_equal(values_of(source, "store"), VALUES)


@pytest.mark.parametrize("version", [2, 3])
def test_attributes_become_vlmeta(version: int, place: Path) -> None:
    array = put(place, "a", zarr_format=version)
    array.attrs.update({"units": "K", "range": [1, 2.5], "nested": {"a": None}})
    found = metadata.decode_all(served(place).info(path_of("a")).vlmeta)
    assert found == {"units": "K", "range": [1, 2.5], "nested": {"a": None}}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    "fill",
    [np.float32(-999.5), np.float64(np.nan), np.int16(-32768), np.uint8(255)],
    ids=lambda fill: str(fill.dtype),
)
def test_the_value_for_missing_ones_has_the_type_of_the_array(
    version: int, fill: Any, place: Path
) -> None:
    data = xarray.Dataset({"a": ("x", np.arange(4).astype(fill.dtype), {"_FillValue": fill})})
    data.to_zarr(place, zarr_format=version, consolidated=False)
    info = served(place).info(path_of("a"))
    form = attributes.forms(info)["_FillValue"]
    assert (form["dtype"], form["shape"]) == (fill.dtype.str, [])
    np.testing.assert_array_equal(metadata.decode(info.vlmeta["_FillValue"]), fill.item())
    again = zarr_documents.array3(info, "values", "")["attributes"]["_FillValue"]
    if version == 3:  # what is served as Zarr has xarray's form again
        assert again == zarr.open_array(place / "a").attrs["_FillValue"]


@pytest.mark.parametrize("version", [2, 3])
def test_groups_with_attributes_are_described(version: int, place: Path) -> None:
    put(place, "g/a", zarr_format=version)
    group = zarr.open_group(place, mode="a")["g"]
    group.attrs["title"] = "some"
    source = served(place)
    entry = source.scan()[DatasetPath("g/.group")]
    info = source.info(entry.path)
    assert (entry.kind, info.etag) == ("group", entry.etag)
    assert attributes.forms(info) == {"title": {"dtype": "text", "shape": [], "value": "some"}}
    assert [path for path, e in source.scan("g").items() if e.kind == "group"] == ["g/.group"]
    group.attrs["title"] = "other"
    assert source.scan()[DatasetPath("g/.group")].etag != entry.etag
    assert attributes.forms(source.info(entry.path))["title"]["value"] == "other"
    with pytest.raises(NotFound):
        source.info(DatasetPath(".group"))


def test_a_zip_may_hold_the_store_in_a_directory(tmp_path: Path, place: Path) -> None:
    put(place, "g/a")
    made = shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path, place.name)
    np.testing.assert_array_equal(values_of(served(Path(made)), "g/a"), VALUES)


def test_chunks_are_counted_in_the_log(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(place, "a")
    source = served(place)
    values_of(source, "a")
    with caplog.at_level(logging.INFO):
        source.close()
    assert "4 chunks were passed on, 0 converted" in caplog.text


def test_what_is_no_store_does_not_start(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", b"text")
    (tmp_path / "y.zip").write_bytes(b"no zip")
    for name in ("x.zip", "y.zip"):
        with pytest.raises(StartError, match=name):
            open_zarr(tmp_path / name)


def test_every_chunk_key_has_its_place() -> None:
    keys = [f"{p}{s.join('12')}" for p, s in itertools.product(("", "c/", "c."), "./")]
    assert all(CHUNK_KEY.fullmatch(key) for key in keys)
    assert not any(CHUNK_KEY.fullmatch(key) for key in (".zarray", "0.partial", "c0", "a.0"))
