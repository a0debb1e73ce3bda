"""Trees of python-blosc2 in a directory: leaves as they are stored, attributes, tables."""

from __future__ import annotations

import dataclasses
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import b2trees
import blosc2
import numpy as np
import pytest
from b2trees import VALUES, names, served
from sourcereads import values_of

from caterva2.errors import NotFound, StaleVersion
from caterva2.frames import attributes
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath, group_path
from caterva2.sources.base import Source
from caterva2.sources.directory.seen import Seen
from caterva2.sources.directory.source import DirectorySource
from caterva2.stores import archive
from caterva2.stores.containers import OPENED, store_formats

LEAVES = {*(f"{name}.b2nd" for name in VALUES), "bytes.b2frame"}
KINDS = ["tree.b2z", "tree.b2d", "small.b2z", "small.b2d", "all.b2e"]
"""Trees whose leaves are members, those in which small leaves are embedded, and embedded ones."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    for suffix in ("b2z", "b2d"):
        b2trees.tree(place / f"tree.{suffix}")
        b2trees.tree(place / f"small.{suffix}", threshold=20_000)
        b2trees.table(place / f"whole.{suffix}")
        b2trees.table(place / f"deleted.{suffix}", deleted=(3, 4))
    b2trees.embedded(place / "all.b2e")
    return place


@pytest.fixture(scope="module")
def source(made: Path) -> Iterator[Source]:
    source = served(made)
    yield source
    source.close()


def attrs_of(source: Source, group: str) -> dict[str, object]:
    found = attributes.forms(source.info(group_path(group)))
    return {name: form["value"] for name, form in found.items()}


# --- leaves ---


@pytest.mark.parametrize("name", KINDS)
def test_leaves_are_listed_and_internals_are_not(name: str, source: Source) -> None:
    itself = set() if name.endswith(".b2d") else {name}
    assert names(source, name) == itself | {f"{name}/{leaf}" for leaf in LEAVES}


@pytest.mark.parametrize("name", KINDS)
def test_values_are_those_that_blosc2_reads(name: str, made: Path, source: Source) -> None:
    store = blosc2.open(str(made / name), mode="r")
    for leaf in VALUES:
        np.testing.assert_array_equal(values_of(source, f"{name}/{leaf}"), store[f"/{leaf}"][:])
    assert source.info(DatasetPath(f"{name}/bytes.b2frame")).nbytes == 5000


@pytest.mark.parametrize("name", KINDS)
def test_chunks_travel_as_they_are_stored(name: str, made: Path, source: Source) -> None:
    array = blosc2.open(str(made / name), mode="r")["/g/x"]
    expected = [array.schunk.get_chunk(n) for n in range(array.schunk.nchunks)]
    assert b2trees.stored_chunks(source, f"{name}/g/x.b2nd") == expected


@pytest.mark.parametrize("name", ["tree.b2z", "all.b2e"])
def test_the_file_itself_stays_readable(name: str, made: Path, source: Source) -> None:
    assert b2trees.bytes_of(source, name) == (made / name).read_bytes()


def test_blocks_of_a_leaf_are_read_alone(source: Source) -> None:
    path = DatasetPath("tree.b2z/g/x.b2nd")
    info = source.info(path)
    assert source.blocks(path, info.etag, 0, [0]).payload


def test_files_beside_the_leaves_are_files(tmp_path: Path) -> None:
    b2trees.tree(tmp_path / "a.b2d")
    (tmp_path / "a.b2d" / "README").write_text("notes")
    source = served(tmp_path)
    assert b2trees.bytes_of(source, "a.b2d/README") == b"notes"


def test_a_zipped_directory_is_a_tree_by_its_content(tmp_path: Path) -> None:
    b2trees.tree(tmp_path / "a.b2z").rename(tmp_path / "data.bin")
    assert names(served(tmp_path)) == {"data.bin", *(f"data.bin/{leaf}" for leaf in LEAVES)}


# --- attributes and tables ---


@pytest.mark.parametrize("name", ["tree.b2z", "tree.b2d", "small.b2z"])
def test_groups_have_their_attributes(name: str, source: Source) -> None:
    assert attrs_of(source, name) == {"title": "A tree"}
    assert attrs_of(source, f"{name}/g") == {"range": [1, 2.5]}
    assert {group_path(name), group_path(f"{name}/g")} <= set(source.scan(name))
    with pytest.raises(NotFound):
        source.info(group_path(f"{name}/g/deep"))


@pytest.mark.parametrize("suffix", ["b2z", "b2d"])
def test_a_table_is_a_group_of_its_columns(suffix: str, made: Path, source: Source) -> None:
    name = f"whole.{suffix}"
    columns = ("number", "score", "name")
    info = source.info(group_path(name))
    assert (info.columns, info.nrows) == (columns, 50)
    assert {path for path in names(source, name) if path != name} == {
        f"{name}/{column}.b2nd" for column in columns
    }
    table = blosc2.open(str(made / name), mode="r")
    for column in columns:
        np.testing.assert_array_equal(values_of(source, f"{name}/{column}"), table[column][:])


@pytest.mark.parametrize("suffix", ["b2z", "b2d"])
def test_a_table_with_deleted_rows_shows_which_are_left(
    suffix: str, made: Path, source: Source
) -> None:
    name = f"deleted.{suffix}"
    assert source.info(group_path(name)).nrows == 48
    left = np.array(values_of(source, f"{name}/_valid_rows")[:], bool)
    expected = blosc2.open(str(made / name), mode="r")["number"][:]
    np.testing.assert_array_equal(values_of(source, f"{name}/number")[:][left], expected)


# --- changes ---


@pytest.mark.parametrize("suffix", ["b2z", "b2d", "b2e"])
def test_another_version_is_never_given_under_the_old_one(suffix: str, tmp_path: Path) -> None:
    path = DatasetPath(f"t.{suffix}/g/x.b2nd")
    write = b2trees.embedded if suffix == "b2e" else b2trees.tree
    write(tmp_path / f"t.{suffix}", values=b2trees.LARGE)
    source = served(tmp_path)
    old = source.info(path)
    write(tmp_path / f"new.{suffix}", values=b2trees.LARGE)
    former = tmp_path / f"t.{suffix}"
    shutil.rmtree(former) if suffix == "b2d" else former.unlink()
    (tmp_path / f"new.{suffix}").rename(former)
    with pytest.raises((StaleVersion, NotFound)):
        list(source.chunks(path, old.etag, [0]))
    assert source.scan(f"t.{suffix}")[path].etag == source.info(path).etag != old.etag
    np.testing.assert_array_equal(values_of(source, f"t.{suffix}/g/x")[:], b2trees.LARGE["g/x"])


def test_a_leaf_and_an_attribute_that_are_written_appear_and_vanish(tmp_path: Path) -> None:
    place = b2trees.tree(tmp_path / "a.b2d")
    source = served(tmp_path)
    blosc2.asarray(np.arange(5), urlpath=str(place / "g" / "new.b2nd"), mode="w")
    assert "a.b2d/g/new.b2nd" in names(source, "a.b2d")
    (place / "g" / "__vlmeta__.b2f").unlink()
    assert group_path("a.b2d/g") not in source.scan("a.b2d")
    (place / "g" / "new.b2nd").unlink()
    assert "a.b2d/g/new.b2nd" not in names(source, "a.b2d")
    (place / "embed.b2e").unlink()
    (place / "__vlmeta__.b2f").unlink()
    assert "a.b2d/bytes.b2f" in names(source, "a.b2d")  # a directory like any other


def test_reads_follow_a_restart_without_another_list(made: Path) -> None:
    seen = Seen(made, age=-1.0)
    DirectorySource(made, seen=seen, formats=store_formats(made)).scan()
    again = DirectorySource(made, seen=seen, formats=store_formats(made))
    again.scan()
    np.testing.assert_array_equal(values_of(again, "tree.b2z/g/x"), VALUES["g/x"])


def test_the_directory_of_a_zip_is_read_once_a_look(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Formats of trees and of Zarr look at it, one after the other."""
    read: list[int] = []
    names_of = archive.names
    monkeypatch.setattr(archive, "names", lambda fd: (read.append(fd), names_of(fd))[1])
    formats = store_formats(made)

    def kinds(path: Path) -> set[str]:
        with path.open("rb") as file:
            return {each.name for each in formats if each.recognises(path.name, file.fileno())}

    store = tmp_path / "store.zip"
    for number, content in enumerate(("zarr.json", "other"), 1):
        with zipfile.ZipFile(store, "w") as writing:
            writing.writestr(content, b"{}" * number)
        assert kinds(store) == ({"Zarr zip"} if number == 1 else set())
        assert kinds(made / "tree.b2z") == {"Blosc2 zip"}
        assert len(read) == 2 * number


def test_links_within_a_tree_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = b2trees.tree(tmp_path / "a.b2d")
    os.symlink("/etc/passwd", place / "passwd.b2nd")
    os.symlink("g", place / "h")
    source = served(tmp_path)
    assert names(source) == {f"a.b2d/{leaf}" for leaf in LEAVES}
    assert caplog.text.count("a.b2d/passwd.b2nd is left out: it is a link") == 1


def test_many_trees_keep_few_files_open(tmp_path: Path) -> None:
    limits = dataclasses.replace(DEFAULTS.publisher, open_frames=5)
    values = {"g/a": np.arange(10)}
    b2trees.tree(tmp_path / "0.b2z", values=values)
    for n in range(1, 50):
        shutil.copy(tmp_path / "0.b2z", tmp_path / f"{n}.b2z")
    before = len(os.listdir("/proc/self/fd"))
    source = served(tmp_path, limits)
    for n in range(50):
        np.testing.assert_array_equal(values_of(source, f"{n}.b2z/g/a"), values["g/a"])
    assert len(os.listdir("/proc/self/fd")) - before <= OPENED + limits.open_frames
