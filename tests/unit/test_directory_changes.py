"""Files of a directory that change, also while they are read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import pytest
from rootkinds import ARRAY, OTHER, InDirectory, _chunks, _etag, _read

from caterva2.errors import (
    CatervaError,
    StaleVersion,
)
from caterva2.frames import blocks
from caterva2.frames.reader import FrameReader, Run
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.sources import versions
from caterva2.sources.directory.seen import Seen
from caterva2.sources.directory.source import DirectorySource


def test_a_rewrite_of_equal_length_and_time_is_another_version(directory: InDirectory) -> None:
    path = directory.directory / "README.md"
    status, old = path.stat(), _etag(directory, "README.md")
    path.write_bytes(b"# Ho\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert _etag(directory, "README.md") != old
    with pytest.raises(StaleVersion):
        _read(directory, "README.md", 0, 5, old)


def test_a_scan_opens_only_files_that_changed(
    directory: InDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def counted(fd: int) -> versions.Version:
        opened.append(fd)
        return of(fd)

    of = versions.of
    place = directory.directory
    directory.source = DirectorySource(place, seen=Seen(place, age=0.0))
    before = directory.source.scan()
    monkeypatch.setattr(versions, "of", counted)
    assert (directory.source.scan(), opened) == (before, [])
    (directory.directory / "README.md").write_bytes(b"# Ho\n")
    after = directory.source.scan()
    assert len(opened) == 1
    assert [path for path in after if after[path] != before[path]] == ["README.md"]
    (directory.directory / "README.md").unlink()
    assert directory.source.scan().keys() == before.keys() - {"README.md"}


def test_a_file_that_has_just_changed_is_looked_at_again(
    directory: InDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its times may stay the same when it changes once more."""
    path = directory.directory / "README.md"
    path.write_bytes(b"# Ho\n")
    before = directory.source.scan()
    known = versions.stamp(path.stat())
    monkeypatch.setattr(versions, "stamp", lambda _: known)
    path.write_bytes(b"# Hu\n")
    assert directory.source.scan() != before


def test_a_change_in_the_middle_of_a_large_file_is_another_version(directory: InDirectory) -> None:
    content = bytearray(100_000)
    directory.put("x.bin", bytes(content))
    old = _etag(directory, "x.bin")
    content[50_000] = 1
    directory.put("x.bin", bytes(content))
    assert _etag(directory, "x.bin") != old


def test_a_file_that_changes_while_it_is_read_is_never_mixed(directory: InDirectory) -> None:
    size = 3 * DEFAULTS.publisher.reply_bytes
    directory.put("x.bin", b"a" * size)
    pieces = directory.source.read_bytes(DatasetPath("x.bin"), _etag(directory, "x.bin"), 0, size)
    next(pieces)
    with (directory.directory / "x.bin").open("r+b") as file:
        file.write(b"b" * size)
    with pytest.raises(StaleVersion):
        list(pieces)


def test_a_chunk_that_is_just_being_written_is_stale_and_not_damaged(
    directory: InDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag, read = _etag(directory, "a.b2nd"), FrameReader._run

    def overtaken(reader: FrameReader, ids: list[int]) -> Run:
        with (directory.directory / "a.b2nd").open("r+b") as file:
            file.seek(reader.header.length)
            file.write(b"\xff" * reader.header.cbytes)
        return read(reader, ids)

    monkeypatch.setattr(FrameReader, "_run", overtaken)
    with pytest.raises(StaleVersion):
        _chunks(directory, "a.b2nd", [3], etag)


def test_blocks_of_a_file_that_changes_while_they_are_read_are_stale(
    directory: InDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag, read = _etag(directory, "a.b2nd"), FrameReader.blocks

    def overtaken(reader: FrameReader, n: int, ids: Sequence[int]) -> blocks.Cut:
        (directory.directory / "a.b2nd").write_bytes(OTHER)
        return read(reader, n, ids)

    monkeypatch.setattr(FrameReader, "blocks", overtaken)
    with pytest.raises(StaleVersion):
        directory.source.blocks(DatasetPath("a.b2nd"), etag, 3, [0])


def test_a_replaced_array_is_never_mixed(directory: InDirectory) -> None:
    etag = _etag(directory, "a.b2nd")
    _chunks(directory, "a.b2nd", [0])
    new = directory.directory / "a.new"
    new.write_bytes(OTHER)
    os.replace(new, directory.directory / "a.b2nd")
    with pytest.raises(StaleVersion):
        _chunks(directory, "a.b2nd", [1], etag)


def test_readers_of_many_versions_do_not_pile_up(directory: InDirectory) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for n in range(200):
        directory.put(f"n/{n}.b2nd", ARRAY)
        with contextlib.suppress(CatervaError):
            directory.source.info(DatasetPath(f"n/{n}.b2nd"))
    assert len(os.listdir("/proc/self/fd")) - before < 150
    directory.source.close()
    assert len(os.listdir("/proc/self/fd")) - before < 10
