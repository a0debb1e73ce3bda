"""Roots without any dataset: they are published, and listed as what they are."""

from __future__ import annotations

import os
from pathlib import Path

import blosc2
import h5py
import numpy as np
import pytest

from tests.conftest import Stack, eventually


def listed(lab: Stack, root: str) -> list[str]:
    return lab.cli("list", root).stdout.split()


def put(path: Path) -> None:
    blosc2.asarray(np.arange(5), urlpath=str(path))


def test_directory_without_files_is_published_and_fills_up(lab: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    client = lab.publish("filling", source)
    assert listed(lab, "filling") == []
    put(source / "a.b2nd")
    eventually(lambda: listed(lab, "filling") == ["filling/a.b2nd"])
    assert client.fetch("filling/a.b2nd", 4) == 4


def test_what_was_deleted_while_the_publisher_was_down_is_gone(lab: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    put(source / "a.b2nd")
    client = lab.publish("deleted", source)
    assert client.fetch("deleted/a.b2nd", 4) == 4
    lab.stop("pub-deleted")
    (source / "a.b2nd").unlink()
    lab.start_publisher("deleted", source)
    eventually(lambda: listed(lab, "deleted") == [])
    done = lab.cli("show", "deleted/a.b2nd")
    assert (done.returncode, "404" in done.stderr) == (1, True)


def replace(path: Path, **datasets: object) -> None:
    """Write an HDF5 file beside its place, then move it there."""
    new = path.with_suffix(".new")
    with h5py.File(new, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    os.replace(new, path)


def test_hdf5_file_of_which_nothing_is_served(lab: Stack, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    replace(path)
    client = lab.publish("nothing", path)
    assert listed(lab, "nothing") == []
    replace(path, nothing=h5py.Empty("f8"))
    eventually(lambda: "nothing is left out: it has an empty dataspace" in lab.log("pub-nothing"))
    assert listed(lab, "nothing") == []
    replace(path, a=np.arange(5))
    eventually(lambda: listed(lab, "nothing") == ["nothing/a.b2nd"])
    assert client.fetch("nothing/a.b2nd", 4) == 4


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_publisher_outlives_an_hdf5_file_that_is_half_copied_or_breaks(
    lab: Stack, tmp_path: Path, libver: str
) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("a", data=np.arange(10_000), chunks=(100,))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    client = lab.publish(libver, path)
    assert "x.h5 can't be listed: the file can't be read as HDF5" in lab.log(f"pub-{libver}")
    assert listed(lab, libver) == []
    path.write_bytes(content)
    eventually(lambda: listed(lab, libver) == [f"{libver}/a.b2nd"])
    assert client.fetch(f"{libver}/a.b2nd", 5) == 5

    complaints = lab.log(f"pub-{libver}").count("x.h5 can't be listed")
    path.write_bytes(content[: len(content) // 4])
    eventually(lambda: lab.log(f"pub-{libver}").count("x.h5 can't be listed") > complaints)
    assert listed(lab, libver) == [f"{libver}/a.b2nd"]
    done = lab.cli("show", f"{libver}/a.b2nd[9000:9010]")
    assert (done.returncode, f"502 Bad Gateway: {libver}/a.b2nd" in done.stderr) == (1, True)
    assert "truncated file" in done.stderr
    path.write_bytes(content)
    eventually(lambda: client.fetch(f"{libver}/a.b2nd", 9_999) == 9_999)
    assert lab.stop(f"pub-{libver}") == 0
