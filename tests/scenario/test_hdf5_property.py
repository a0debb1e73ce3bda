"""Random HDF5 datasets, through all services: what h5py reads is what a client gets."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import caterva2
from tests import hdf5files
from tests.conftest import Stack, eventually, example_root
from tests.hdf5_of_others import files, main, same, unreadable

SCALAR_TYPES = (
    "?", "<i1", ">i2", "<u4", "<i8", "<f2", ">f4", "<f8", "<c8", ">c16", "S1", "S7", "S300", "V3",
)  # fmt: skip
FILTERS = {
    name: given
    for name, given in hdf5files.FILTERS.items()
    if name not in ("szip", "bitshuffle", "lz4")  # these do not take every size of item
} | {
    f"blosc2-{codec}": dict(hdf5plugin.Blosc2(cname=codec, clevel=level, filters=shuffle))
    for codec, level, shuffle in (("lz4hc", 9, 2), ("zstd", 1, 1), ("zlib", 5, 0), ("lz4", 0, 0))
}  # fmt: skip
_numbers = itertools.count()


@st.composite
def types(draw: st.DrawFn) -> Any:
    """A type of items: one of numbers or strings, or a record of some."""
    if draw(st.integers(0, 3)):
        return np.dtype(draw(st.sampled_from(SCALAR_TYPES)))
    parts = draw(st.lists(st.sampled_from(SCALAR_TYPES), min_size=1, max_size=4))
    fields = [(f"f{n}", part) for n, part in enumerate(parts)]
    return np.dtype(fields, align=draw(st.booleans()))


@st.composite
def datasets(draw: st.DrawFn) -> dict[str, Any]:
    """What `create_dataset` takes, and how much of it is written."""
    shape = tuple(draw(st.lists(st.integers(0, 12), max_size=4)))
    dtype = draw(types())
    made: dict[str, Any] = {"shape": shape, "dtype": dtype}
    if shape and draw(st.booleans()):
        made["maxshape"] = tuple(draw(st.sampled_from((None, n))) for n in shape)
    if shape and (0 not in shape or "maxshape" in made) and draw(st.integers(0, 4)):
        free = [n is None for n in made.get("maxshape", shape)]
        made["chunks"] = tuple(
            draw(st.integers(1, 16 if grows else max(n, 1)))
            for n, grows in zip(shape, free, strict=True)
        )
        if any(not grows and not n for n, grows in zip(shape, free, strict=True)):
            del made["chunks"]
        else:
            made |= FILTERS[draw(st.sampled_from(sorted(FILTERS)))]
    elif "maxshape" in made:
        del made["maxshape"]
    if dtype.kind in "iuf" and draw(st.booleans()):
        made["fillvalue"] = draw(st.integers(0, 100))
    return made | {"seed": draw(st.integers(0, 99)), "written": draw(st.integers(0, 12))}


def write(file: h5py.File, name: str, made: dict[str, Any]) -> None:
    """Write a dataset, or a part of it."""
    given = {key: value for key, value in made.items() if key not in ("seed", "written")}
    dataset = file.create_dataset(name, **given)
    rng = np.random.default_rng(made["seed"])
    size = dataset.size * dataset.dtype.itemsize
    # Few different bytes, so that compression has something to do; no odd booleans or NaNs.
    raw = rng.integers(0, 2, size, dtype="u1").tobytes()
    values = np.frombuffer(raw, dataset.dtype).reshape(dataset.shape)
    if not dataset.shape:
        dataset[()] = values
    elif made["written"] and dataset.size:
        dataset[: made["written"]] = values[: made["written"]]


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[caterva2.Client, Path]]:
    directory = tmp_path_factory.mktemp("property")
    path = directory / "x.h5"
    with h5py.File(path, "w") as file:
        file["first"] = 1
    stack = Stack(directory)
    try:
        yield stack.start(data=path), path
    finally:
        stack.stop_all()


def check(published: tuple[caterva2.Client, Path], made: list[dict[str, Any]]) -> None:
    """Publish some datasets and read them."""
    client, path = published
    prefix, new = f"v{next(_numbers)}", path.with_suffix(".new")
    with h5py.File(new, "w") as file:
        for n, each in enumerate(made):
            write(file, f"{prefix}/{n}", each)
    os.replace(new, path)
    names = {f"{prefix}/{n}" for n in range(len(made))}
    eventually(lambda: set(client.get_list("data")) == {f"{name}.b2nd" for name in names})
    with h5py.File(path) as file:
        for name in names:
            # Blosc2's filter for HDF5 writes large items of several dimensions that it can't read.
            if not unreadable(file[name]):
                got = client.fetch(f"data/{name}.b2nd")
                assert same(got, file[name][()]), made[int(name.rpartition("/")[2])]


MADE = st.lists(datasets(), min_size=4, max_size=10)
LENIENT = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip


@settings(LENIENT, max_examples=4)
@given(made=MADE)
def test_random_datasets_come_through(
    published: tuple[caterva2.Client, Path], made: list[dict[str, Any]]
) -> None:
    check(published, made)


@pytest.mark.slow
@settings(LENIENT, max_examples=100)
@given(made=MADE)
def test_hundreds_of_random_datasets_come_through(
    published: tuple[caterva2.Client, Path], made: list[dict[str, Any]]
) -> None:
    check(published, made)


@pytest.mark.slow
def test_files_of_h5py_itself_come_through() -> None:
    assert main([str(Path(h5py.__file__).parent / "tests" / "data_files")]) == 0


def test_a_comparison_that_can_fail() -> None:
    assert not same(np.arange(3), np.array([0, 1, 3]))
    assert not same(np.arange(3), np.arange(4))
    assert list(files(example_root())) == []
