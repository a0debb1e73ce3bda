"""Other libraries read through the cache, and without network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import caterva2
from caterva2.client.errors import OfflineWarning, Unreachable
from caterva2.client.http.transport import HttpTransport
from tests.client.arrays import GRID
from tests.client.line import Line, cached
from tests.conftest import Stack, eventually


def _cut(*_: object) -> None:
    raise Unreachable("the line is cut")


@pytest.mark.slow  # each day plain files of a file system are read
def test_xarray_dask_and_blosc2_work_without_network(
    lab: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xarray = pytest.importorskip("xarray")
    monkeypatch.setenv("CATERVA2_CACHE", str(tmp_path))
    address = lab.url.replace("http:", "cat2:") + "/foo/dir1"
    opened = xarray.open_dataset(address, engine="caterva2")
    expected = {name: variable.values for name, variable in opened.variables.items()}
    assert len(expected) == 2
    assert caterva2.Client(lab.url)["foo/grid.b2nd"][:].shape == GRID.shape

    monkeypatch.setattr(HttpTransport, "exchange", _cut)
    with pytest.warns(OfflineWarning):
        again = xarray.open_dataset(address, engine="caterva2")
    for name, values in expected.items():
        assert np.array_equal(again[name].values, values)
        assert np.array_equal(again[name][1:, 0].values, values[1:, 0])
    with pytest.warns(OfflineWarning):
        grid = caterva2.Client(lab.url)["foo/grid.b2nd"]
    assert (
        grid.to_dask(chunks=(15, 25))[5:30].compute(scheduler="synchronous") == GRID[5:30]
    ).all()
    assert (np.asarray(grid) == GRID).all()


def test_plain_files_of_a_file_system_work_without_network(
    lab: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("CATERVA2_CACHE", str(tmp_path))
    content = caterva2.Client(lab.url, cache=False)["foo/README.md"][:]
    caterva2.Client(lab.url).take("foo/README.md")
    monkeypatch.setattr(HttpTransport, "exchange", _cut)
    system = fsspec.filesystem("cat2", url=lab.url, skip_instance_cache=True)
    with pytest.warns(OfflineWarning), system.open("foo/README.md") as file:
        assert file.read() == content
        file.seek(5)
        assert file.read(4) == content[5:9]
    assert system.cat_file("foo/README.md") == content
    assert system.cat_file("foo/README.md", start=3, end=10**6) == content[3:]


@pytest.fixture
def folder(lab: Stack) -> Iterator[Path]:
    """A directory of the root with an HDF5 file in it."""
    made = lab.directory / "source" / "inside"
    made.mkdir()
    with h5py.File(made / "t.nc", "w") as file:
        file["tas"] = GRID
    eventually(lambda: "inside/t.nc/tas.b2nd" in lab.client.get_list("foo"))
    yield made
    shutil.rmtree(made)
    eventually(lambda: "inside/t.nc" not in lab.client.get_list("foo"))


@pytest.mark.usefixtures("folder")
def test_a_directory_of_files_with_datasets_is_taken(
    lab: Stack, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xarray = pytest.importorskip("xarray")
    client = cached(line, tmp_path / "cache")
    assert client.take("foo/inside").taken == ["foo/inside/t.nc/tas.b2nd"]
    plain = caterva2.Client(line.urlbase, cache=False)
    assert plain.take("foo/inside", to=tmp_path / "files").taken == ["foo/inside/t.nc"]
    line.cut = True
    with pytest.warns(OfflineWarning):
        found = cached(line, tmp_path / "cache")["foo/inside"]["t.nc"]
    assert list(found) == ["tas.b2nd"]
    assert (found["tas.b2nd"][:] == GRID).all()
    with pytest.raises(Unreachable):
        found.download(tmp_path / "t.nc")
    line.cut = False
    both = ["foo/inside/t.nc", "foo/inside/t.nc/tas.b2nd"]
    assert client.take("foo/inside/t.nc").taken == both

    monkeypatch.setenv("CATERVA2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(HttpTransport, "exchange", _cut)
    address = lab.url.replace("http:", "cat2:") + "/foo/inside/t.nc"
    with pytest.warns(OfflineWarning):
        data = xarray.open_dataset(address, engine="caterva2")
    assert (data.tas.values == GRID).all()
