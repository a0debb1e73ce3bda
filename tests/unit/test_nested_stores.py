"""Directories with Zarr stores in them: arrays are served instead of the files of the stores"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from samples import array_frame
from sourcereads import path_of, values_of

from caterva2.cli.cat2pub import open_source
from caterva2.errors import NotFound, StaleVersion
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.sources.base import Source
from tests.conftest import eventually

VALUES = np.arange(60 * 70.0).reshape(60, 70)
LIMITS = dataclasses.replace(
    DEFAULTS, publisher=dataclasses.replace(DEFAULTS.publisher, poll=0.1, full_scan=0.5)
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "d").mkdir(parents=True)
    (made / "README.md").write_text("# Hi\n")
    (made / "d/b.b2nd").write_bytes(array_frame(np.arange(10)))
    for version in (2, 3):
        group = zarr.create_group(made / f"d/v{version}.zarr", zarr_format=version)
        group.create_array("g/a", data=VALUES, chunks=(30, 35))
    return made


@pytest.fixture
def source(root: Path, tmp_path: Path) -> Iterator[Source]:
    made = open_source(root, tmp_path, LIMITS)
    made.scan()
    yield made
    made.close()


ALL = ["README.md", "d/b.b2nd", "d/v2.zarr/g/a.b2nd", "d/v3.zarr/g/a.b2nd"]


def test_arrays_of_stores_are_listed_and_their_files_are_not(source: Source) -> None:
    assert sorted(source.scan()) == ALL
    assert sorted(source.scan("d")) == ALL[1:]
    assert sorted(source.scan("d/v2.zarr")) == ["d/v2.zarr/g/a.b2nd"]
    assert sorted(source.scan("d/v2.zarr/g/a.b2nd")) == ["d/v2.zarr/g/a.b2nd"]
    assert source.scan("d/v3.zarr/g/x") == {}


@pytest.mark.parametrize("name", ["d/v2.zarr/g/a", "d/v3.zarr/g/a"])
def test_values_are_those_of_the_store(name: str, source: Source) -> None:
    info = source.info(path_of(name))
    assert (info.path, info.etag) == (f"{name}.b2nd", source.scan()[path_of(name)].etag)
    np.testing.assert_array_equal(values_of(source, name), VALUES)
    assert source.blocks(path_of(name), info.etag, 0, [0]).payload


def test_what_is_beside_the_stores_is_served_as_before(source: Source) -> None:
    np.testing.assert_array_equal(values_of(source, "d/b"), np.arange(10))
    path = DatasetPath("README.md")
    assert b"".join(source.read_bytes(path, source.info(path).etag, 0, 5)) == b"# Hi\n"


def test_files_of_a_store_do_not_exist(source: Source) -> None:
    for path in ("d/v3.zarr/zarr.json", "d/v3.zarr/g/a/c/0/0", "d/v3.zarr/x.b2nd"):
        with pytest.raises(NotFound):
            source.info(DatasetPath(path))


def test_another_version_names_the_path_in_the_directory(source: Source, root: Path) -> None:
    path = path_of("d/v3.zarr/g/a")
    old = source.info(path).etag
    zarr.open_group(root / "d/v3.zarr")["g/a"][0, 0] = -1  # type: ignore[index]
    with pytest.raises(StaleVersion) as caught:
        list(source.chunks(path, old, [0]))
    assert caught.value.detail.startswith(path)
    assert caught.value.info == {"etag": source.info(path).etag}
    assert source.scan(path)[path].etag == source.info(path).etag


def test_a_directory_becomes_a_store_and_is_none_any_more(source: Source, root: Path) -> None:
    (root / "d/new.zarr").mkdir()
    (root / "d/new.zarr/notes.txt").write_text("first a file")
    assert "d/new.zarr/notes.txt" in source.scan()
    zarr.create_group(root / "d/new.zarr").create_array("x", data=VALUES, chunks=(30, 35))
    assert sorted(source.scan("d/new.zarr")) == ["d/new.zarr/x.b2nd"]
    np.testing.assert_array_equal(values_of(source, "d/new.zarr/x"), VALUES)
    shutil.rmtree(root / "d/new.zarr")
    assert source.scan("d/new.zarr") == {}
    assert sorted(source.scan()) == ALL
    with pytest.raises(NotFound):
        source.info(path_of("d/new.zarr/x"))


def test_a_change_in_a_store_is_hinted_at_as_one_of_the_store(source: Source, root: Path) -> None:
    hints, stop = set[str](), threading.Event()

    def watch() -> None:
        for scopes in source.changes(stop):
            hints.update(scopes)

    thread = threading.Thread(target=watch)
    thread.start()

    def written() -> bool:
        zarr.open_group(root / "d/v3.zarr")["g/a"][0, 0] = len(hints) + 1  # type: ignore[index]
        return "d/v3.zarr" in hints

    try:
        assert eventually(written)
    finally:
        stop.set()
        thread.join(20)
    assert not [hint for hint in hints if hint.startswith("d/v3.zarr/")]


def test_a_damaged_store_is_named_and_the_others_are_served(
    source: Source, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "d/v2.zarr/g/a/.zarray").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert source.scan("d/v2.zarr") == {}
        assert sorted(source.scan()) == [*ALL[:2], ALL[3]]
    assert "g/a is left out" in caplog.text


def test_stores_may_be_served_as_files(root: Path, tmp_path: Path) -> None:
    source: Any = open_source(root, tmp_path, LIMITS, zarr="files")
    found = source.scan()
    assert "d/v3.zarr/g/a/c/0/0" in found
    assert "d/v3.zarr/g/a.b2nd" not in found
    source.close()


def test_a_link_to_a_store_is_a_store(source: Source, root: Path) -> None:
    (root / "linked").symlink_to(root / "d/v3.zarr")
    assert "linked/g/a.b2nd" in source.scan()
    np.testing.assert_array_equal(values_of(source, "linked/g/a"), VALUES)


def test_a_link_that_leads_to_another_store_is_that_one(source: Source, root: Path) -> None:
    other = zarr.create_group(root / "d/other.zarr")
    other.create_array("g/a", data=VALUES + 1, chunks=(30, 35))
    (root / "linked").symlink_to(root / "d/v3.zarr")
    source.scan()
    (root / "linked").unlink()
    (root / "linked").symlink_to(root / "d/other.zarr")
    source.scan("linked")
    np.testing.assert_array_equal(values_of(source, "linked/g/a"), VALUES + 1)


def test_hidden_stores_are_not_there(source: Source, root: Path) -> None:
    shutil.copytree(root / "d/v3.zarr", root / ".hidden.zarr")
    assert sorted(source.scan()) == ALL
    assert source.scan(".hidden.zarr/g/a.b2nd") == {}


def test_a_link_to_a_store_outside_is_not_followed(
    source: Source, root: Path, tmp_path: Path
) -> None:
    zarr.create_group(tmp_path / "outside").create_array("x", data=VALUES, chunks=(30, 35))
    (root / "linked").symlink_to(tmp_path / "outside")
    assert sorted(source.scan()) == ALL
    assert source.scan("linked") == {}
    assert source.scan("linked/x.b2nd") == {}
    with pytest.raises(NotFound):
        source.info(path_of("linked/x"))


# --- zip files ---


def test_a_zip_with_a_store_in_it_is_a_file_and_a_group(root: Path, tmp_path: Path) -> None:
    for name, below in (("top", root / "d/v3.zarr"), ("folder", root / "d")):
        base = None if name == "top" else "v2.zarr"
        shutil.make_archive(str(root / name), "zip", below, base)
    (root / "other.zip").write_bytes((root / "README.md").read_bytes())
    source = open_source(root, tmp_path, LIMITS)
    found = source.scan()
    for name in ("top.zip", "folder.zip"):
        assert {path for path in found if path.startswith(name)} == {name, f"{name}/g/a.b2nd"}
        np.testing.assert_array_equal(values_of(source, f"{name}/g/a"), VALUES)
    assert b"".join(_bytes(source, "top.zip")) == (root / "top.zip").read_bytes()
    source.close()
    source = open_source(root, tmp_path, LIMITS, zarr="files")
    assert not any(path.startswith("top.zip/") for path in source.scan())
    source.close()


def _bytes(source: Source, path: str) -> Iterator[bytes]:
    info = source.info(DatasetPath(path))
    return source.read_bytes(DatasetPath(path), info.etag, 0, info.nbytes)
