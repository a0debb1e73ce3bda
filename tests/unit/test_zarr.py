"""Zarr stores as roots: what zarr-python reads is served, with stored chunks where they fit"""

from __future__ import annotations

import contextlib
import itertools
import logging
import shutil
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import samples
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from sourcereads import path_of, values_of
from zarr.codecs import BloscCodec, GzipCodec, TransposeCodec, ZstdCodec
from zarr.storage import LocalStore, ZipStore

from caterva2.errors import Busy, NotFound, StaleVersion, StartError
from caterva2.frames import attributes, compose, metadata
from caterva2.names import DatasetPath
from caterva2.sources import versions
from caterva2.stores.opening import open_zarr
from caterva2.stores.store import DirectoryStore
from caterva2.stores.zarr import contents
from caterva2.stores.zarr.contents import CHUNK_KEY
from caterva2.stores.zarr.source import ZarrSource

VALUES = np.arange(60 * 70, dtype="f8").reshape(60, 70)
pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store.zarr"


def served(place: Path) -> ZarrSource:
    source = open_zarr(place)
    source.scan()
    return source


def put(place: Path, name: str, values: Any = VALUES, **given: Any) -> zarr.Array:
    """Write an array into the store; Blosc is the codec if none is given."""
    group = zarr.open_group(place, mode="a", zarr_format=given.pop("zarr_format", 3))
    version3 = group.metadata.zarr_format == 3
    blosc = BloscCodec(cname="lz4") if version3 else numcodecs.Blosc("lz4")
    given = {"chunks": (30, 35), "compressors": blosc} | given
    made = group.create_array(name, shape=values.shape, dtype=values.dtype, **given)
    if values.size:
        made[...] = values
    return made


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


@settings(max_examples=25, deadline=None)
@given(case=stores(), zipped=st.booleans())
def test_what_zarr_python_reads_is_served(case: dict[str, Any], zipped: bool) -> None:
    check(case, zipped)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
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


@pytest.mark.parametrize("codec", ["blosclz", "lz4", "lz4hc", "zlib", "zstd"])
@pytest.mark.parametrize("shuffle", ["noshuffle", "shuffle", "bitshuffle"])
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


# --- changes ---


def test_an_etag_stays_while_nothing_changes(place: Path) -> None:
    put(place, "a")
    etags = {entry.etag for _ in range(3) for entry in served(place).scan().values()}
    assert len(etags) == 1


def changed(place: Path, how: str) -> None:
    array = zarr.open_group(place, mode="a")["a"]
    assert isinstance(array, zarr.Array)
    if how == "chunk":
        array[0, 0] = -1
    elif how == "shape":
        array.resize((90, 70))
    elif how == "attributes":
        array.attrs["new"] = 1
    elif how == "anew":
        put(place, "a", VALUES[:10] + 1, overwrite=True)
    elif how == "chunk is removed":
        (place / "a/c/0/0").unlink()


WAYS = ["chunk", "shape", "attributes", "anew", "chunk is removed"]


@pytest.mark.parametrize("how", WAYS)
def test_a_change_makes_another_version(how: str, place: Path) -> None:
    put(place, "a")
    source = served(place)
    old = source.info(path_of("a"))
    changed(place, how)
    new = source.info(path_of("a"))
    assert new.etag != old.etag
    with pytest.raises(StaleVersion) as caught:
        list(source.chunks(path_of("a"), old.etag, [0]))
    assert caught.value.info == {"etag": new.etag}
    expected = zarr.open_group(place, mode="r")["a"][...]  # type: ignore[index]
    np.testing.assert_array_equal(values_of(source, "a"), expected)


@pytest.mark.parametrize("how", ["chunk", "anew", "chunk is removed"])
@pytest.mark.parametrize("shards", [None, (60, 70)])
def test_a_chunk_that_changes_between_scan_and_read_is_not_given(
    how: str, shards: Any, place: Path
) -> None:
    put(place, "a", shards=shards)
    source = served(place)
    etag = source.info(path_of("a")).etag
    changed(place, how)
    with pytest.raises(StaleVersion):
        list(source.chunks(path_of("a"), etag, [0]))


def test_a_chunk_that_appears_is_not_mixed_with_fill_values(place: Path) -> None:
    array = put(place, "a", VALUES * 0)
    source = served(place)
    etag = source.info(path_of("a")).etag
    array[...] = VALUES
    with pytest.raises(StaleVersion):
        list(source.chunks(path_of("a"), etag, [1]))


def test_rewrites_within_one_tick_of_the_clock_are_not_mixed(place: Path) -> None:
    put(place, "a", np.zeros(10) + 1, chunks=(10,), compressors=None)
    chunk, source = place / "a/c/0", served(place)
    for n in range(20):
        with chunk.open("r+b") as file:
            file.write(np.full(10, n + 1.0).tobytes())
        found = values_of(source, "a")
        assert set(found.tolist()) == {n + 1.0}


def test_an_object_that_was_written_just_now_proves_nothing(place: Path) -> None:
    put(place, "a")
    store = DirectoryStore(place)
    for _ in range(20):
        (place / "a/c/0/0").write_bytes(b"new")
        found = contents.listed(store, "a", {})
        _, stamp = store.read("a/c/0/0", 10) or (b"", None)
        assert stamp is not None
        if stamp.is_settled(found.seen):
            continue  # a writer that was held up
        assert not found.is_settled
        assert not found.is_of("c/0/0", stamp)
        time.sleep(2 * versions.TICK)  # until it proves something
        assert contents.listed(store, "a", {}).is_of("c/0/0", stamp)
        return
    pytest.fail("no write was recent")


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "renamed"])
def test_every_read_is_a_state_that_was_there(in_place: bool, place: Path) -> None:
    """A writer writes chunks in any order, again and again, and notes each state of the array."""
    put(place, "a", np.zeros(8 * 50, "i4"), chunks=(50,), compressors=None, fill_value=-1)
    end, chosen, states = threading.Event(), np.random.default_rng(0), [(0,) * 8]

    def write() -> None:
        while not end.wait(chosen.uniform(1, 3) * versions.TICK):
            n, state = int(chosen.integers(8)), list(states[-1])
            state[n] = len(states)
            states.append(tuple(state))
            rewritten(place / f"a/c/{n}", np.full(50, state[n], "<i4").tobytes(), in_place)

    source, writer = served(place), threading.Thread(target=write)
    writer.start()
    seen = set()
    try:
        until = time.monotonic() + 20
        while len(seen) < 6 and time.monotonic() < until:
            with contextlib.suppress(StaleVersion, Busy):
                found = slowly(source, end).reshape(8, 50)
                assert (found == found[:, :1]).all()
                seen.add(tuple(found[:, 0].tolist()))
    finally:
        end.set()
        writer.join(20)
    assert seen <= set(states)
    assert len(seen) > 1
    assert values_of(source, "a").reshape(8, 50)[:, 0].tolist() == list(states[-1])


def slowly(source: ZarrSource, end: threading.Event) -> Any:
    """All values of one version, chunk by chunk, with time for a write in between."""
    info = source.info(path_of("a"))
    pieces = []
    for n in range(info.nchunks):
        pieces += [run.payload for run in source.chunks(path_of("a"), info.etag, [n])]
        end.wait(versions.TICK / 2)
    return samples.opened(compose.frame(compose.template(info), pieces))


def rewritten(file: Path, content: bytes, in_place: bool) -> None:
    if in_place:
        with file.open("r+b") as opened:
            opened.write(content)
    else:
        (file.parent / "partial").write_bytes(content)
        (file.parent / "partial").replace(file)


def test_an_array_that_is_removed_is_gone(place: Path) -> None:
    put(place, "a")
    put(place, "b")
    source = served(place)
    etag = source.info(path_of("a")).etag
    del zarr.open_group(place, mode="a")["a"]
    with pytest.raises(NotFound):
        list(source.chunks(path_of("a"), etag, [0]))
    with pytest.raises(NotFound):
        source.info(path_of("a"))
    assert list(source.scan()) == ["b.b2nd"]


def test_a_zip_that_is_replaced_is_another_version_of_what_differs(
    tmp_path: Path, place: Path
) -> None:
    put(place, "a")
    put(place, "b")
    archive = Path(shutil.make_archive(str(tmp_path / "s"), "zip", place))
    source = served(archive)
    old = {name: source.info(path_of(name)).etag for name in "ab"}
    changed(place, "chunk")
    new = Path(shutil.make_archive(str(tmp_path / "new"), "zip", place))
    new.replace(archive)
    assert source.info(path_of("b")).etag == old["b"]
    with pytest.raises(StaleVersion):
        list(source.chunks(path_of("a"), old["a"], [0]))
    assert values_of(source, "a")[0, 0] == -1


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
