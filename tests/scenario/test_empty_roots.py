"""Roots without any dataset: they are published, and listed as what they are."""

from __future__ import annotations

import os
from pathlib import Path

import blosc2
import h5py
import numpy as np
import pytest

from tests.conftest import Stack, eventually


def listed(stack: Stack) -> list[str]:
    return stack.cli("list", "data").stdout.split()


def put(path: Path) -> None:
    blosc2.asarray(np.arange(5), urlpath=str(path))


def test_directory_without_files_is_published_and_fills_up(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    client = stack.start(data=source)
    assert listed(stack) == []
    put(source / "a.b2nd")
    eventually(lambda: listed(stack) == ["data/a.b2nd"])
    assert client.fetch("data/a.b2nd", 4) == 4


def test_what_was_deleted_while_the_publisher_was_down_is_gone(
    stack: Stack, tmp_path: Path
) -> None:
    source = tmp_path / "data"
    source.mkdir()
    put(source / "a.b2nd")
    client = stack.start(data=source)
    assert client.fetch("data/a.b2nd", 4) == 4
    stack.stop("pub-data")
    (source / "a.b2nd").unlink()
    stack.start_publisher("data", source)
    eventually(lambda: listed(stack) == [])
    done = stack.cli("show", "data/a.b2nd")
    assert (done.returncode, "404" in done.stderr) == (1, True)


def replace(path: Path, **datasets: object) -> None:
    """Write an HDF5 file beside its place, then move it there."""
    new = path.with_suffix(".new")
    with h5py.File(new, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    os.replace(new, path)


def test_hdf5_file_of_which_nothing_is_served(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    replace(path)
    client = stack.start(data=path)
    assert listed(stack) == []
    replace(path, nothing=h5py.Empty("f8"))
    eventually(lambda: "nothing is left out: it has an empty dataspace" in stack.log("pub-data"))
    assert listed(stack) == []
    replace(path, a=np.arange(5))
    eventually(lambda: listed(stack) == ["data/a.b2nd"])
    assert client.fetch("data/a.b2nd", 4) == 4


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_publisher_outlives_an_hdf5_file_that_is_half_copied_or_breaks(
    stack: Stack, tmp_path: Path, libver: str
) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("a", data=np.arange(10_000), chunks=(100,))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    client = stack.start(data=path)
    assert "x.h5 can't be listed: the file can't be read as HDF5" in stack.log("pub-data")
    assert listed(stack) == []
    path.write_bytes(content)
    eventually(lambda: listed(stack) == ["data/a.b2nd"])
    assert client.fetch("data/a.b2nd", 5) == 5

    complaints = stack.log("pub-data").count("x.h5 can't be listed")
    path.write_bytes(content[: len(content) // 4])
    eventually(lambda: stack.log("pub-data").count("x.h5 can't be listed") > complaints)
    assert listed(stack) == ["data/a.b2nd"]
    done = stack.cli("show", "data/a.b2nd[9000:9010]")
    assert (done.returncode, "502 Bad Gateway: data/a.b2nd" in done.stderr) == (1, True)
    assert "truncated file" in done.stderr
    path.write_bytes(content)
    eventually(lambda: client.fetch("data/a.b2nd", 9_999) == 9_999)
    assert stack.stop("pub-data") == 0
