"""Data taken home of a directory with containers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from caterva2.client.errors import OfflineWarning, Unreachable
from tests.client.arrays import GRID
from tests.client.line import Line, cached
from tests.conftest import Stack, eventually


@pytest.fixture
def folder(lab: Stack) -> Iterator[Path]:
    made = lab.directory / "source" / "inside"
    made.mkdir()
    yield made
    shutil.rmtree(made)
    eventually(lambda: "inside/t.nc" not in lab.client.get_list("foo"))


def test_datasets_in_a_file_of_a_directory_are_read_without_network(
    lab: Stack, line: Line, tmp_path: Path, folder: Path
) -> None:
    with h5py.File(folder / "t.nc", "w") as file:
        file["tas"] = GRID
    eventually(lambda: "t.nc/tas.b2nd" in lab.client.get_list("foo/inside"))
    client = cached(line, tmp_path / "cache")
    assert "foo/inside/t.nc/tas.b2nd" in client.take("foo/inside").taken
    files = client.take("foo/inside", to=tmp_path / "files").taken
    assert [path for path in files if "t.nc" in path] == ["foo/inside/t.nc"]
    line.cut = True
    away = cached(line, tmp_path / "cache")
    with pytest.warns(OfflineWarning):
        found = away["foo/inside"]["t.nc"]
    assert list(found) == ["tas.b2nd"]
    assert (found["tas.b2nd"][:] == GRID).all()
    with pytest.raises(Unreachable):
        found.download(tmp_path / "t.nc")
    line.cut = False
    assert sorted(client.take("foo/inside/t.nc").taken) == [
        "foo/inside/t.nc",
        "foo/inside/t.nc/tas.b2nd",
    ]
