"""The list of a file that is a root, kept for the next process: used for the same version only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fragile
import h5py
import numpy as np
import pytest

from caterva2.isolation.damage import Stamp
from caterva2.isolation.hdf5 import isolated_hdf5
from caterva2.isolation.kept_list import KeptList
from caterva2.isolation.process import Target
from caterva2.isolation.source import IsolatedSource
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.sources import versions
from caterva2.sources.directory import seen

Start = Callable[..., tuple[IsolatedSource, KeptList]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Serves a file of which the datasets behave as they are told to, as one process does."""
    made: list[IsolatedSource] = []

    def started(
        identity: str = "", age: float = 0.0, **ways: str
    ) -> tuple[IsolatedSource, KeptList]:
        path = tmp_path / "x.fragile"
        if ways:
            fragile.write(path, **ways)
        kept = KeptList(path, tmp_path / "listing", identity, age=age)
        made.append(IsolatedSource(Target(fragile.MAKE, path), kept=kept))
        return made[-1], kept

    yield started
    for source in made:
        source.close()


def has_process(source: IsolatedSource) -> bool:
    return source._reader._process is not None


def listed(source: IsolatedSource) -> set[str]:
    return {path.removesuffix(".b2nd") for path in source.scan()}


def test_next_process_lists_without_a_look_into_the_file(start: Start) -> None:
    source, _ = start(a="good", b="good")
    before = source.scan()
    source.remember()
    again, _ = start()
    assert again.scan() == before and set(again.scan("a.b2nd")) == {"a.b2nd"}
    assert not has_process(again)
    again.warm_up()
    assert has_process(again)


def test_changed_file_is_listed_anew(start: Start, tmp_path: Path) -> None:
    source, _ = start(a="good")
    assert listed(source) == {"a"}
    source.remember()
    path = tmp_path / "x.fragile"
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content.replace(b"a.b2nd", b"b.b2nd"))  # of the same inode and size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again, _ = start()
    assert listed(again) == {"b"}
    again.remember()
    path.write_bytes(content)  # while it is served
    assert listed(again) == {"a"}


@pytest.mark.parametrize("what", ["identity", "young", "boot", "another file"])
def test_list_that_may_be_of_something_else_is_not_used(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    source, _ = start(age=3600.0 if what == "young" else 0.0, a="good")
    source.scan()
    source.remember()
    if what == "boot":
        (tmp_path / "boot").write_text("another start of the machine")
        given = seen.Seen.__init__.__kwdefaults__ | {"boot": tmp_path / "boot"}
        monkeypatch.setattr(seen.Seen.__init__, "__kwdefaults__", given)
    if what == "another file":
        other = fragile.write(tmp_path / "other", b="good")
        (tmp_path / "x.fragile").unlink()
        (tmp_path / "x.fragile").symlink_to(other)
    again, _ = start("another version" if what == "identity" else "")
    assert has_process(again)
    assert listed(again) == {"b" if what == "another file" else "a"}


def test_list_without_what_ended_the_process_is_not_kept(start: Start) -> None:
    source, kept = start(a="good", b="scan-crash")
    assert listed(source) == {"a"}
    assert kept.get() is None


def test_list_of_another_file_that_was_there_for_a_while_is_not_kept(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [fragile.write(tmp_path / name, **{name: "good"}) for name in "ab"]

    def lead_to(place: Path) -> None:
        (tmp_path / "new").symlink_to(place)
        os.replace(tmp_path / "new", tmp_path / "x.fragile")

    lead_to(places[0])
    source, kept = start()
    usual = source._reader.entries

    def entries(place: versions.FilePlace, stamp: Stamp) -> dict[DatasetPath, Entry]:
        lead_to(places[1])
        return usual(place, stamp)

    monkeypatch.setattr(source._reader, "entries", entries)
    source.scan()
    lead_to(places[0])
    assert kept.get() is None


def test_kept_list_that_turns_out_to_be_wrong_is_made_anew(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = np.arange(3)
    old = time.time() - 60
    os.utime(tmp_path / "x.h5", (old, old))
    source = isolated_hdf5(tmp_path / "x.h5")
    try:
        (path, right), *_ = source.scan().items()
        kept = KeptList(tmp_path / "x.h5", age=0.0)
        kept.put(
            versions.stamp((tmp_path / "x.h5").stat()), {path: Entry(path, "array", "x", 1, 1.0)}
        )
        source._kept, source._listed = kept, None
        assert source.scan()[path].etag == "x"
        assert source.info(path).etag == right.etag
        assert source.scan(path)[path] == right
    finally:
        source.close()
