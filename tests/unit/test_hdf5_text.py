"""Text of variable length and items that are arrays, in HDF5 files, as they are served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hdf5reads import read

from caterva2.conversion.exporter import export_directory
from caterva2.conversion.importer import import_file
from caterva2.errors import CatervaError, SourceCorrupt
from caterva2.hdf5.source import Hdf5Source
from caterva2.isolation.hdf5 import isolated_hdf5
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath

TEXT, LETTERS = h5py.string_dtype(), h5py.string_dtype("ascii")
RECORD = np.dtype([("n", "<i4"), ("t", TEXT), ("in", [("u", LETTERS), ("v", "<f4")])])
PAIRS = np.dtype(("<i8", (2, 2)))


def record() -> Any:
    made = np.zeros(5, RECORD)
    made["n"] = np.arange(5)
    made["t"] = ["", "b", "größe", "日本", "x"]
    made["in"]["u"] = [*"abcd", "long one"]
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


@pytest.fixture
def source(path: Path) -> Iterator[Hdf5Source]:
    """What `path` will hold, read in this process."""
    made = Hdf5Source(path)
    yield made
    made.close()


def write(path: Path, data: Any, dtype: Any = TEXT, **given: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.array(data, dtype), **given)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (["a", "bé"], np.array(["a", "bé"])),
        ("scalar", np.array("scalar")),
        ([["", "日本語"], ["x", "yy"]], np.array([["", "日本語"], ["x", "yy"]])),
        (["", ""], np.array(["", ""], "U1")),
        (np.empty((0, 2)), np.empty((0, 2), "U1")),
        ([b"fine", b"\xb0C"], np.array([b"fine", b"\xb0C"])),
        (["x" * 16_384], np.array(["x" * 16_384])),
        (["x" * 16_385], np.array([b"x" * 16_385])),
    ],
    ids=["text", "scalar", "2-d", "empty", "none", "not UTF-8", "long", "longer"],
)
def test_text_is_an_array_whose_items_hold_the_longest(
    path: Path, source: Hdf5Source, data: Any, expected: Any
) -> None:
    write(path, data)
    found = np.asarray(read(source, "x.b2nd"))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_text_that_was_never_written_is_empty(path: Path, source: Hdf5Source) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (3,), TEXT, chunks=(2,))
    assert read(source, "x.b2nd").tolist() == [""] * 3


@pytest.mark.parametrize(
    "given",
    [{}, {"chunks": (7, 2), "compression": "gzip"}, {"chunks": (20, 1)}, {"maxshape": (None, 5)}],
    ids=["contiguous", "gzip", "columns", "growing"],
)
def test_text_of_any_layout_is_served(
    path: Path, source: Hdf5Source, given: dict[str, Any]
) -> None:
    values = [[f"{row} {n}" * (n + 1) for n in range(5)] for row in range(20)]
    write(path, values, **given)
    assert read(source, "x.b2nd").tolist() == values
    if "chunks" in given:
        assert source.info(DatasetPath("x.b2nd")).chunks == given["chunks"]


def test_chunks_that_text_makes_large_get_another_shape(path: Path, source: Hdf5Source) -> None:
    values = [f"{n}" for n in range(9_999)] + ["x" * 1000]
    write(path, values, chunks=(10_000,), compression="gzip")
    info = source.info(DatasetPath("x.b2nd"))
    assert info.chunksize < 10_000 * 4000
    assert read(source, "x.b2nd").tolist() == values


@pytest.mark.parametrize("given", [{}, {"chunks": (2,), **hdf5plugin.Blosc2()}])
def test_fields_of_records_may_be_text(
    path: Path, source: Hdf5Source, given: dict[str, Any]
) -> None:
    write(path, record(), RECORD, **given)
    found = read(source, "x.b2nd")
    assert found.dtype == [("n", "<i4"), ("t", "<U5"), ("in", [("u", "<U8"), ("v", "<f4")])]
    assert found["t"].tolist() == ["", "b", "größe", "日本", "x"]
    assert found["in"]["u"].tolist() == [*"abcd", "long one"]
    assert found["n"].tolist() == list(range(5))


def test_damaged_chunks_of_text_are_refused_before_they_are_decoded(
    path: Path, source: Hdf5Source
) -> None:
    write(path, record(), RECORD, chunks=(2,), **hdf5plugin.Blosc2())
    with h5py.File(path, "r+") as file:
        file["x"].id.write_direct_chunk((2,), b"garbage" * 30)
    with pytest.raises(SourceCorrupt, match=r"not a contiguous Blosc2 frame"):
        source.info(DatasetPath("x.b2nd"))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"text_items": 9}, "10 items with text, more than 9"),
        ({"text_bytes": 99}, "more than 99 bytes of text"),
        ({"text_time": 1e-9}, "takes more than 1e-09 s"),
    ],
)
def test_text_beyond_a_limit_is_refused_with_the_limit(
    path: Path, given: dict[str, float], reason: str
) -> None:
    write(path, ["x" * 10] * 10)
    limits = replace(DEFAULTS.publisher, **given)
    source = Hdf5Source(path, limits)
    for _ in range(2):
        with pytest.raises(CatervaError, match=reason):
            source.info(DatasetPath("x.b2nd"))
    source.close()
    isolated = isolated_hdf5(path, replace(DEFAULTS, publisher=limits))
    with pytest.raises(CatervaError, match=reason):
        isolated.info(DatasetPath("x.b2nd"))
    isolated.close()


def test_text_is_measured_once_for_a_version(
    path: Path, source: Hdf5Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = "text"
        file["y"] = file["x"]
    assert read(source, "x.b2nd") == "text"
    monkeypatch.setattr("caterva2.hdf5.text.read", lambda *_: pytest.fail("read again"))
    assert source.info(DatasetPath("y.b2nd")).dtype == "<U4"


def test_items_of_other_variable_lengths_are_left_out(path: Path, source: Hdf5Source) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (3,), np.dtype([("t", TEXT), ("v", h5py.vlen_dtype("i4"))]))
    assert source.scan() == {}
    assert source.file().contents().refused == {"x": "has items of variable length"}


@pytest.mark.parametrize(
    ("shape", "given", "chunks"),
    [((2,), {}, None), ((20,), {"chunks": (7,)}, (7, 2, 2)), ((), {}, (2, 2))],
)
def test_items_that_are_arrays_add_their_axes(
    path: Path, source: Hdf5Source, shape: tuple[int, ...], given: dict[str, Any], chunks: Any
) -> None:
    values = np.arange(np.prod(shape, dtype=int) * 4).reshape(*shape, 2, 2)
    with h5py.File(path, "w") as file:
        made = file.create_dataset("x", shape, PAIRS, **given)
        made.id.write(h5py.h5s.ALL, h5py.h5s.ALL, values, mtype=h5py.h5t.py_create(PAIRS))
    np.testing.assert_array_equal(read(source, "x.b2nd"), values)
    assert chunks in (None, source.info(DatasetPath("x.b2nd")).chunks)


def test_arrays_in_arrays_and_text_in_arrays_add_their_axes(path: Path, source: Hdf5Source) -> None:
    with h5py.File(path, "w") as file:
        inner = h5py.h5t.array_create(h5py.h5t.NATIVE_INT32, (2,))
        outer = h5py.h5t.array_create(inner, (3,))
        h5py.h5d.create(file.id, b"x", outer, h5py.h5s.create_simple((4,)))
        file.create_dataset("t", (2,), np.dtype((TEXT, (3,))))[0] = ["a", "bc", ""]
    assert read(source, "x.b2nd").shape == (4, 3, 2)
    assert read(source, "t.b2nd").tolist() == [["a", "bc", ""], [""] * 3]


def test_axes_of_items_that_are_arrays_have_no_names(path: Path, source: Hdf5Source) -> None:
    with h5py.File(path, "w") as file:
        file["time"] = np.arange(2)
        file["time"].make_scale("time")
        file.create_dataset("x", (2,), PAIRS).dims[0].attach_scale(file["time"])
    assert source.info(DatasetPath("x.b2nd")).dims == ("time", None, None)


def test_more_than_16_axes_together_are_left_out(path: Path, source: Hdf5Source) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (1,) * 15, PAIRS)
    source.scan()
    assert "17 dimensions" in source.file().contents().refused["x"]


def test_progress_of_an_import_of_text_never_exceeds_the_whole(tmp_path: Path, path: Path) -> None:
    write(path, ["x" * 1000, "y"])
    told: list[tuple[int, int | None]] = []
    import_file(path, tmp_path / "d", progress=lambda *given: told.append(given))
    assert told
    assert all(whole is not None and done <= whole for done, whole in told)


def test_text_comes_back_from_an_export_with_its_type(tmp_path: Path, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("text", data=np.array(["a", "bé"], TEXT), chunks=(2,))
        file["letters"] = np.array(["a", "b"], LETTERS)
        file["bytes"] = np.array([b"\xb0", b"x"], TEXT)
        file["scalar"] = "scalar"
        file["record"] = record()
        file.create_dataset("pairs", (2,), np.dtype((TEXT, (2,))))[0] = ["x", "yy"]
    assert import_file(path, tmp_path / "d").skipped == []
    assert export_directory(tmp_path / "d", tmp_path / "b.h5").skipped == []
    with h5py.File(path) as first, h5py.File(tmp_path / "b.h5") as second:
        assert set(first) == set(second)
        for name in first:
            np.testing.assert_array_equal(first[name][()], second[name][()], name)
            assert first[name].id.get_type().equal(second[name].id.get_type()), name
