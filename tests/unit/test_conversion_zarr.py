"""`cat2import` of Zarr stores: all groups, types, names and fill values, nothing lost unsaid."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec
from zarrstores import put

from caterva2.conversion import notes
from caterva2.conversion.zarr.importer import import_store
from caterva2.errors import BadRequest, StaleVersion
from caterva2.frames import attributes
from caterva2.names import DatasetPath
from caterva2.sources.directory.source import DirectorySource
from tests.conftest import run

VALUES = np.arange(60 * 70, dtype="f8").reshape(60, 70)


def zipped(place: Path) -> Path:
    target = place.with_name(place.name + ".zip")
    with zipfile.ZipFile(target, "w") as made:
        for file in sorted(place.rglob("*")):
            made.write(file, file.relative_to(place))
    return target


def described(directory: Path, path: str) -> Any:
    source = DirectorySource(directory, groups=False)
    source.scan()
    try:
        return source.info(DatasetPath(path))
    finally:
        source.close()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kind", ["directory", "zip"])
def test_groups_arrays_and_attributes_are_imported(tmp_path: Path, version: int, kind: str) -> None:
    place = tmp_path / "a.zarr"
    put(place, "g/x", zarr_format=version).attrs.update({"units": "K", "n": 3, "list": [1.5, 2]})
    put(place, "y", np.array([1 + 2j, 3]), zarr_format=version, chunks=(2,))
    group = zarr.open_group(place, zarr_format=version)
    group.create_group("empty")
    group["g"].attrs["title"] = "größe"
    source = zipped(place) if kind == "zip" else place
    report = import_store(source, tmp_path / "d")
    assert (report.skipped, report.left) == ([], [])
    assert sorted(os.listdir(tmp_path / "d")) == ["empty", "g", "y.b2nd"]
    np.testing.assert_array_equal(blosc2.open(tmp_path / "d/g/x.b2nd")[:], VALUES)
    np.testing.assert_array_equal(blosc2.open(tmp_path / "d/y.b2nd")[:], [1 + 2j, 3])
    forms = attributes.forms(described(tmp_path / "d", "g/x.b2nd"))
    assert {name: form["value"] for name, form in forms.items()} == {
        "units": "K", "n": 3, "list": [1.5, 2],
    }  # fmt: skip
    assert notes.read_group(tmp_path / "d/g").forms["title"]["value"] == "größe"


@pytest.mark.parametrize("given", [{}, {"shards": (60, 70)}], ids=["plain", "shards"])
def test_chunks_of_blosc_are_kept_and_others_converted(tmp_path: Path, given: Any) -> None:
    put(tmp_path / "a.zarr", "kept", compressors=BloscCodec(cname="zstd"), **given)
    put(tmp_path / "a.zarr", "converted", compressors=zarr.codecs.GzipCodec(), **given)
    report = import_store(tmp_path / "a.zarr", tmp_path / "d")
    assert {m.path: (m.kept, m.converted) for m in report.moved} == {
        "kept": (4, 0), "converted": (0, 4)
    }  # fmt: skip
    assert blosc2.open(tmp_path / "d/kept.b2nd").chunks == (30, 35)
    for name in ("kept", "converted"):
        np.testing.assert_array_equal(blosc2.open(tmp_path / f"d/{name}.b2nd")[:], VALUES)


def test_names_of_dimensions_and_fill_values_are_kept(tmp_path: Path) -> None:
    given: dict[str, Any] = {"shape": (4, 5), "dtype": "i2", "chunks": (2, 5), "fill_value": -9}
    group = zarr.open_group(tmp_path / "a.zarr", zarr_format=3)
    group.create_array("x", dimension_names=("y", None), **given)[:2] = 1
    import_store(tmp_path / "a.zarr", tmp_path / "d")
    info = described(tmp_path / "d", "x.b2nd")
    assert attributes.dims(info) == ("y", None)
    assert attributes.forms(info) == {}
    values = blosc2.open(tmp_path / "d/x.b2nd")[:]
    assert values.tolist() == [[1] * 5, [1] * 5, [-9] * 5, [-9] * 5]


def test_what_is_left_out_is_named_and_the_exit_code_tells(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", zarr_format=3)
    put(tmp_path / "a.zarr", "good")
    group.create_array("g/text", shape=(2,), dtype=str)
    put(tmp_path / "a.zarr", "bad")
    (tmp_path / "a.zarr/bad/c/0/1").write_bytes(b"garbage")
    (tmp_path / "a.zarr/link").symlink_to(tmp_path)
    done = run("cat2import", "a.zarr", "d", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    lines = {line.split(":")[0].strip(): line for line in done.stdout.splitlines()[2:]}
    assert lines.keys() == {"bad", "g/text", "link"}
    assert "vlen-utf8" in lines["g/text"]
    assert sorted(os.listdir(tmp_path / "d")) == ["g", "good.b2nd"]


@pytest.mark.parametrize("version", [2, 3])
def test_store_of_a_single_array_has_its_name(tmp_path: Path, version: int) -> None:
    zarr.save_array(tmp_path / "one.zarr", np.arange(5), zarr_format=version)
    [moved] = import_store(tmp_path / "one.zarr", tmp_path / "d").moved
    assert moved.path == "one"
    assert blosc2.open(tmp_path / "d/one.b2nd")[:].tolist() == [0, 1, 2, 3, 4]


def test_array_and_group_of_one_name_are_told_apart(tmp_path: Path) -> None:
    put(tmp_path / "a.zarr", "x")
    zarr.open_group(tmp_path / "a.zarr").create_group("x.b2nd")
    [skipped] = import_store(tmp_path / "a.zarr", tmp_path / "d").skipped
    assert (skipped.path, "group beside it" in skipped.reason) == ("x", True)


@pytest.mark.parametrize("change", ["replaced", "removed", "added"])
def test_store_that_changes_while_it_is_imported_gives_no_directory(
    tmp_path: Path, change: str
) -> None:
    for name in ("a", "b"):
        put(tmp_path / "s.zarr", name)
    did: list[int] = []

    def progress(done: int, total: int | None) -> None:
        if done and not did:
            did.append(done)
            if change == "removed":
                (tmp_path / "s.zarr/b/zarr.json").unlink()
            else:
                put(tmp_path / "s.zarr", "b" if change == "replaced" else "c", overwrite=True)

    with pytest.raises(StaleVersion, match="changed while it was imported"):
        import_store(tmp_path / "s.zarr", tmp_path / "d", progress=progress)
    assert os.listdir(tmp_path) == ["s.zarr"]


def test_directory_is_replaced_only_by_force_and_a_file_never(tmp_path: Path) -> None:
    put(tmp_path / "a.zarr", "x")
    (tmp_path / "d").mkdir()
    (tmp_path / "note").write_text("precious")
    with pytest.raises(BadRequest, match="exists"):
        import_store(tmp_path / "a.zarr", tmp_path / "d")
    with pytest.raises(BadRequest, match="is a file"):
        import_store(tmp_path / "a.zarr", tmp_path / "note", force=True)
    with pytest.raises(BadRequest, match="contains the source"):
        import_store(tmp_path / "a.zarr", tmp_path, force=True)
    import_store(tmp_path / "a.zarr", tmp_path / "d", force=True)
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "d", "note"]


def test_directory_without_a_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    done = run("cat2import", "plain", "d", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cat2import: plain is a directory, and no Zarr store\n"
    assert os.listdir(tmp_path) == ["plain"]
