"""What a process knows of a directory's files, and leaves to the next one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import blosc2
import msgpack
import numpy as np
import pytest

from caterva2.errors import NotFound, StaleVersion, StartError
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.runtime import batches
from caterva2.sources import versions
from caterva2.sources.directory import seen
from caterva2.sources.directory.source import DirectorySource

Found = dict[DatasetPath, Entry]


class Places:
    """A directory of files, and what was kept of it."""

    def __init__(self, place: Path) -> None:
        self.files = place / "files"
        self.memory = place / "listing"
        self.files.mkdir()
        self.opened = 0
        self.options: dict[str, Any] = {"age": 0.0}

    def source(self) -> DirectorySource:
        return DirectorySource(self.files, seen=seen.Seen(self.files, self.memory, **self.options))

    def scan(self, *, remember: bool = True) -> Found:
        """List the files in a process of its own, so to say; count those that it opens."""
        self.opened = 0
        source = self.source()
        found = source.scan()
        if remember:
            source.remember()
        source.close()
        return found


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    made = Places(tmp_path)

    def counted(fd: int, *status: os.stat_result) -> versions.Version:
        made.opened += 1
        return of(fd, *status)

    of = versions.of
    monkeypatch.setattr(versions, "of", counted)
    blosc2.asarray(np.arange(100), urlpath=str(made.files / "a.b2nd"))
    for name in "bc":
        (made.files / name).write_text(f"file {name}")
    return made


def test_next_process_opens_no_file_that_is_as_it_was(places: Places) -> None:
    before = places.scan()
    assert places.opened == 3
    assert places.scan() == before
    assert places.opened == 0


def test_next_process_opens_what_changed_meanwhile(places: Places) -> None:
    before = places.scan()
    (places.files / "b").write_text("file B")
    (places.files / "c").unlink()
    (places.files / "d").write_text("file d")
    after = places.scan()
    assert places.opened == 2
    assert after.keys() == {"a.b2nd", "b", "d"}
    assert after[DatasetPath("b")].etag != before[DatasetPath("b")].etag
    assert places.scan() == after
    assert places.opened == 0


def test_file_that_changed_a_moment_ago_is_opened_again(places: Places) -> None:
    places.options["age"] = seen.AGE
    places.scan()
    places.scan()
    assert places.opened == 3


def test_more_files_than_are_saved_in_one_piece(places: Places) -> None:
    places.options["batch"] = 2
    before = places.scan()
    assert places.scan() == before
    assert places.opened == 0


def test_nothing_is_taken_over_when_the_machine_started_anew(
    places: Places, tmp_path: Path
) -> None:
    before = places.scan()
    (tmp_path / "boot").write_text("another\n")
    places.options["boot"] = tmp_path / "boot"
    assert places.scan() == before
    assert places.opened == 3


def test_nothing_is_kept_where_nobody_tells_when_the_machine_started(
    places: Places, tmp_path: Path
) -> None:
    places.options["boot"] = tmp_path / "none"
    places.scan()
    assert not places.memory.exists()


def test_nothing_is_taken_over_from_another_directory(places: Places) -> None:
    before = places.scan()
    places.files = places.files.rename(places.files.with_name("other"))
    assert places.scan() == before
    assert places.opened == 3


A = DatasetPath("a.b2nd")


def store(place: Path, size: int = 100) -> None:
    made = blosc2.asarray(np.arange(size), urlpath=str(place), mode="w", meta={"unit": "m"})
    made.schunk.vlmeta["site"] = "north"


def test_known_frame_is_described_without_being_opened(places: Places) -> None:
    store(places.files / A)
    blosc2.SChunk(data=b"text", urlpath=str(places.files / "s.b2frame"))
    places.scan()
    new, known = DirectorySource(places.files), places.source()
    for path in (A, DatasetPath("s.b2frame")):
        described = new.info(path)
        places.opened = 0
        assert known.info(path) == described
        assert places.opened == 0
    with pytest.raises(NotFound):
        known.info(DatasetPath("x.b2nd"))


def test_frame_that_changed_is_described_as_it_is_now(places: Places) -> None:
    places.scan()
    source = places.source()
    store(places.files / A, 7)
    assert source.info(A).shape == (7,)
    (places.files / A).unlink()
    with pytest.raises(NotFound):
        source.info(A)


def test_no_more_frames_are_kept_than_there_is_room_for(places: Places) -> None:
    for name in ("d.b2nd", "e.b2nd"):
        store(places.files / name)
    places.scan()
    sizes = [len(one.frame) for one in places.source()._seen._found.values()]
    assert sum(map(bool, sizes)) == 3
    places.options["frame_bytes"] = 2 * max(sizes) + 200
    source = places.source()
    for _ in range(3):
        assert sum(bool(one.frame) for one in source._seen._found.values()) == 2
        (places.files / A).touch()  # what is kept of it is replaced
        source.scan()
    assert source.info(A).shape == (100,)


def test_version_that_a_read_contradicts_is_forgotten(places: Places) -> None:
    """A file that looks unchanged though it is not: a clock may be set back."""
    places.scan()
    source = places.source()
    old = source.info(A)
    known = source._seen._found[A]
    store(places.files / A, 7)
    stamp = versions.stamp((places.files / A).stat())
    source._seen._found[A] = known._replace(mark=hash(stamp))
    assert source.info(A) == old
    with pytest.raises(StaleVersion):
        next(source.chunks(A, old.etag, [0]))
    assert source.info(A).shape == (7,)


def test_broken_frame_is_named_by_each_process(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (places.files / "a.b2nd").read_bytes()
    (places.files / "a.b2nd").write_bytes(whole[:-20])
    for _ in range(2):
        caplog.clear()
        places.scan()
        assert "a.b2nd can't be served" in caplog.text
    assert places.opened == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"\xc1",
        lambda content: content + msgpack.packb([1]),
        lambda content: content.replace(b"size", b"sise"),
        lambda content: content.replace(b"\xa1b", b"\xa1/"),
        lambda content: content + b"\xdd\xff\xff\xff\xff",
        lambda content: content + msgpack.packb({"a": 1}),
        lambda content: content.replace(b"b2frame", b"b2frome"),
    ],
)
def test_damaged_memory_is_left(places: Places, damage: Callable[[bytes], bytes]) -> None:
    before = places.scan()
    content = damage(places.memory.read_bytes())
    assert content != places.memory.read_bytes()
    places.memory.write_bytes(content)
    assert places.scan() == before
    assert places.opened == 3
    assert places.memory.with_name("listing.bad").read_bytes() == content
    assert places.scan() == before
    assert places.opened == 0


@pytest.mark.parametrize("batch", [1, 1000])
def test_memory_that_is_cut_off_is_used_as_far_as_it_goes(
    places: Places, batch: int, caplog: pytest.LogCaptureFixture
) -> None:
    places.options["batch"] = batch
    before = places.scan()
    content = places.memory.read_bytes()
    head = len(msgpack.packb(msgpack.Unpacker(BytesIO(content)).unpack()))
    opened, bad = set(), places.memory.with_name("listing.bad")
    for length in range(0, len(content), 7):
        caplog.clear()
        places.memory.write_bytes(content[:length])
        assert places.scan() == before
        opened.add(places.opened)
        if length < head:
            assert bad.read_bytes() == content[:length]
            bad.unlink()
        else:
            assert f"is cut off behind {3 - places.opened} of 3 files" in caplog.text
            assert not bad.exists()
        assert places.memory.read_bytes() == content  # it is whole again
    assert opened == ({3, 2, 1} if batch == 1 else {3})


def test_a_listing_of_an_older_format_is_made_anew(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    batches.write(places.memory, [seen.FORMAT - 1, "anything"], [])
    places.scan()
    assert places.opened == 3
    assert not caplog.records


def test_memory_that_can_t_be_used_is_named(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    places.scan()
    places.memory.write_bytes(places.memory.read_bytes() + b"\xc1")
    with caplog.at_level(logging.WARNING):
        places.scan()
    assert f"{places.memory} is damaged" in caplog.text
    assert "is listing.bad now: all files are opened once" in caplog.text
    assert places.memory.with_name("listing.bad").exists()


def test_a_listing_of_a_newer_format_is_refused(places: Places) -> None:
    batches.write(places.memory, [seen.FORMAT + 1, "anything"], [])
    with pytest.raises(StartError, match=f"listing has format {seen.FORMAT + 1}"):
        places.scan()


def test_memory_that_can_t_be_written_is_named_and_nothing_else_happens(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    places.memory = places.memory.with_name("none") / "listing"
    before = places.scan()
    assert f"{places.memory} can't be written" in caplog.text
    assert places.scan() == before


def test_nothing_is_written_again_that_has_not_changed(places: Places) -> None:
    places.scan()
    places.memory.unlink()
    source = places.source()
    source.scan()
    source.remember()
    first = places.memory.stat().st_ino
    source.scan()
    source.remember()
    assert places.memory.stat().st_ino == first
    (places.files / "b").unlink()
    source.scan()
    source.remember()
    assert places.memory.stat().st_ino != first
    source.close()
