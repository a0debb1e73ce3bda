"""Containers in a directory: listed below their files, read, remembered, and gone with these."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import boxes
import pytest

from caterva2.errors import NotFound, StaleVersion
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.sources import versions
from caterva2.sources.directory.containers import Unavailable
from caterva2.sources.directory.seen import Seen
from caterva2.sources.directory.source import DirectorySource


class Places:
    """A directory with boxes, and what is kept of it between processes."""

    def __init__(self, place: Path) -> None:
        self.files = place / "files"
        self.files.mkdir()
        self.memory = place / "listing"
        self.open()

    def open(self, identity: str = "1", age: float = 0.0) -> None:
        """Open the directory as a new process would."""
        self.boxes = boxes.Boxes(self.files, identity)
        names = [f"{self.boxes.name} {identity}"]
        seen = Seen(self.files, self.memory, age=age, formats=names)
        self.source = DirectorySource(self.files, seen=seen, formats=[self.boxes])

    def names(self, scope: str = "") -> set[str]:
        return set(self.source.scan(scope))

    def entry(self, path: str) -> Entry:
        return self.source.scan()[DatasetPath(path)]

    def read(self, path: str, etag: str = "") -> bytes:
        name = DatasetPath(path)
        info = self.source.info(name)
        assert info.path == name
        pieces = self.source.read_bytes(name, etag or info.etag, 0, info.nbytes)
        return b"".join(pieces)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    made = Places(tmp_path)
    (made.files / "d").mkdir()
    boxes.write(made.files / "d" / "a.box", x="one", y="two")
    (made.files / "plain.txt").write_text("no box")
    yield made
    made.source.close()


# --- listing and reading ---


def test_what_is_in_a_container_is_listed_below_its_file(places: Places) -> None:
    assert places.names() == {"d/a.box", "d/a.box/x", "d/a.box/y", "plain.txt"}
    assert places.names("d/a.box") == {"d/a.box", "d/a.box/x", "d/a.box/y"}
    assert places.names("d") == places.names("d/a.box")
    assert places.names("d/a.box/x") == {"d/a.box/x"}
    assert places.names("d/a.box/z") == set()


def test_what_is_in_a_container_is_read_and_so_is_its_file(places: Places) -> None:
    places.source.scan()
    assert places.read("d/a.box/x") == b"one"
    assert places.read("d/a.box") == b"BOX\nx=one\ny=two\n"
    assert places.read("plain.txt") == b"no box"


def test_errors_name_the_path_in_the_directory(places: Places) -> None:
    places.source.scan()
    with pytest.raises(NotFound, match=r"d/a\.box/z does not exist"):
        places.source.info(DatasetPath("d/a.box/z"))
    with pytest.raises(StaleVersion, match=r"d/a\.box/x has changed") as caught:
        places.read("d/a.box/x", "other")
    assert caught.value.info["etag"] == places.entry("d/a.box/x").etag
    with pytest.raises(Exception, match=r"d/a\.box/x"):
        list(places.source.chunks(DatasetPath("d/a.box/x"), "", [0]))


def test_links_to_containers_are_containers(places: Places) -> None:
    (places.files / "latest.box").symlink_to("d/a.box")
    (places.files / "e").symlink_to("d")
    found = places.names()
    assert {"latest.box", "latest.box/x", "e/a.box", "e/a.box/y", "d/a.box/x"} <= found
    assert places.read("latest.box/y") == places.read("e/a.box/y") == b"two"
    boxes.write(places.files / "d" / "a.box", x="three")
    assert places.names("latest.box") == {"latest.box", "latest.box/x"}
    assert places.read("latest.box/x") == b"three"


def test_names_that_are_too_long_below_the_container_are_left_out(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    deep = "/".join("d" * 62)
    (places.files / deep).mkdir(parents=True)
    boxes.write(places.files / deep / "b.box", **{"x": "1", "y/z": "2"})
    assert f"{deep}/b.box/x" in places.names()
    assert f"{deep}/b.box/y/z" not in places.names()
    assert caplog.text.count("which is left out") == 1


# --- changes ---


def test_replaced_container_has_new_versions_and_none_of_the_old(places: Places) -> None:
    old = places.source.scan()
    boxes.write(places.files / "d" / "a.box", y="two", z="three")
    new = places.source.scan("d/a.box")
    assert set(new) == {"d/a.box", "d/a.box/y", "d/a.box/z"}
    assert all(old[path].etag != new[path].etag for path in old.keys() & new)
    with pytest.raises(StaleVersion):
        places.read("d/a.box/y", old[DatasetPath("d/a.box/y")].etag)


def test_file_becomes_a_container_and_ceases_to_be_one(places: Places) -> None:
    places.source.scan()
    boxes.write(places.files / "plain.txt", x="1")
    assert places.names("plain.txt") == {"plain.txt", "plain.txt/x"}
    (places.files / "plain.txt").write_text("no box again")
    assert places.names("plain.txt") == {"plain.txt"}
    assert "plain.txt" in places.boxes.forgotten
    with pytest.raises(NotFound):
        places.source.info(DatasetPath("plain.txt/x"))


@pytest.mark.parametrize("scope", ["d/a.box", "d", "d/a.box/x", ""])
def test_removed_container_is_closed_and_nothing_of_it_is_left(places: Places, scope: str) -> None:
    places.source.scan()
    (places.files / "d" / "a.box").unlink()
    assert not any(name.startswith("d/a.box") for name in places.names(scope))
    assert places.boxes.forgotten == ["d/a.box"]
    with pytest.raises(NotFound):
        places.source.info(DatasetPath("d/a.box/x"))


def test_container_becomes_a_directory(places: Places) -> None:
    places.source.scan()
    (places.files / "d" / "a.box").unlink()
    (places.files / "d" / "a.box").mkdir()
    (places.files / "d" / "a.box" / "x").write_text("a file")
    assert places.names("d/a.box") == {"d/a.box/x"}
    assert places.read("d/a.box/x") == b"a file"


def test_unchanged_container_is_listed_once(places: Places) -> None:
    for _ in range(3):
        places.source.scan()
    assert places.boxes.listed == ["d/a.box"]


def test_container_that_changed_just_now_is_listed_again(places: Places) -> None:
    places.open(age=3600.0)
    places.source.scan()
    places.source.scan()
    assert places.boxes.listed == ["d/a.box"] * 2


def test_list_that_a_read_contradicts_is_made_anew(places: Places) -> None:
    path = DatasetPath("d/a.box/x")
    old = places.entry(path)
    place = places.files / "d" / "a.box"
    status = place.stat()
    known = places.source._seen._found["d/a.box"]
    boxes.write(place, x="One", y="two")
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    # As if the file looked unchanged: its stamp is that of the former one.
    places.source._seen._found["d/a.box"] = known._replace(mark=hash(versions.stamp(place.stat())))
    assert places.entry(path).etag == old.etag
    with pytest.raises(StaleVersion):
        places.read(path, old.etag)
    assert places.entry(path).etag != old.etag
    assert places.read(path, places.entry(path).etag) == b"One"


# --- what can't be listed ---


def test_container_that_cant_be_listed_is_a_file_and_said_once(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    boxes.write(places.files / "bad.box", x="damaged")
    for _ in range(3):
        assert "bad.box" in places.names()
        assert {"d/a.box/x", "plain.txt"} <= places.names()
    assert "bad.box/x" not in places.names()
    assert caplog.text.count("bad.box is served as a file only: it is damaged") == 1
    assert places.boxes.listed.count("bad.box") == 1  # it is tried again later
    assert places.read("bad.box").startswith(boxes.MAGIC)
    boxes.write(places.files / "bad.box", x="good")
    assert "bad.box/x" in places.names("bad.box")


def test_container_that_gets_damaged_loses_its_datasets(places: Places) -> None:
    places.source.scan()
    boxes.write(places.files / "d" / "a.box", x="damaged")
    assert places.names("d") == {"d/a.box"}


def test_former_list_stands_while_a_container_is_written(places: Places) -> None:
    old = places.source.scan()
    boxes.write(places.files / "d" / "a.box", x="busy")
    found = places.source.scan("d")
    assert found.keys() == old.keys() - {"plain.txt"}
    assert found[DatasetPath("d/a.box/y")] == old[DatasetPath("d/a.box/y")]
    boxes.write(places.files / "d" / "a.box", x="1")
    assert places.names("d") == {"d/a.box", "d/a.box/x"}


def test_format_whose_process_cant_start_is_not_tried_for_each_file(places: Places) -> None:
    for name in ("a", "b", "c"):
        boxes.write(places.files / f"{name}.box", x="no process")
    assert {"a.box", "b.box", "c.box"} <= places.names()
    assert len(places.boxes.listed) == 1


def test_format_without_its_package_is_named_once_with_what_to_install(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    boxes.write(places.files / "b.box", x="1")
    missing = Unavailable("BOX", lambda fd: places.boxes.recognises("", fd), "install boxes")
    source = DirectorySource(places.files, formats=[missing])
    assert set(source.scan()) == {"b.box", "d/a.box", "plain.txt"}
    assert caplog.text.count("BOX files are served as files only; install boxes") == 1


def test_progress_is_logged(
    places: Places, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("caterva2.sources.directory.mounts.PROGRESS", 0.0)
    places.source.scan()
    assert "looked into 1 files so far, the last one is BOX" in caplog.text


# --- from one process to the next ---


def test_next_process_lists_no_container_that_is_as_it_was(places: Places) -> None:
    before = places.source.scan()
    places.source.remember()
    places.open()
    assert places.source.scan() == before
    assert places.boxes.listed == []
    assert places.read("d/a.box/y") == b"two"


def test_next_process_lists_what_changed_meanwhile(places: Places) -> None:
    boxes.write(places.files / "b.box", z="1")
    places.source.scan()
    places.source.remember()
    boxes.write(places.files / "b.box", z="2")
    places.open()
    places.source.scan()
    assert places.boxes.listed == ["b.box"]


def test_lists_of_other_libraries_are_made_anew(places: Places) -> None:
    places.source.scan()
    places.source.remember()
    places.open(identity="2")
    places.source.scan()
    assert places.boxes.listed == ["d/a.box"]


def test_container_that_could_not_be_listed_is_tried_by_the_next_process(places: Places) -> None:
    boxes.write(places.files / "bad.box", x="damaged")
    places.source.scan()
    places.source.remember()
    places.open()
    places.source.scan()
    assert places.boxes.listed == ["bad.box"]


def test_listing_that_is_cut_off_within_a_container_is_used_up_to_it(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    boxes.write(places.files / "a.box", **{f"x{n:03}": str(n) for n in range(100)})
    before = places.source.scan()
    places.source.remember()
    content = places.memory.read_bytes()
    places.memory.write_bytes(content[: len(content) // 2])
    places.open()
    assert places.source.scan() == before
    assert "is cut off behind 0 of 3 files" in caplog.text
    assert not places.memory.with_name("listing.bad").exists()


# --- its life ---


def test_formats_are_warmed_up_if_there_are_containers_and_closed(places: Places) -> None:
    places.source.warm_up()
    assert not places.boxes.is_warm
    places.source.scan()
    places.source.warm_up()
    assert places.boxes.is_warm
    places.source.close()
    assert places.boxes.is_closed
