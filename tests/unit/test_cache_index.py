"""A replica's index file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import samples

from caterva2.cache.index import Index
from caterva2.errors import SourceCorrupt
from caterva2.names import RootName
from tests.thoroughness import some

ROOT = RootName("foo")
FRAME = samples.array_frame(np.arange(100), {"a": 1}, chunks=(10,), blocks=(5,))
INFO = samples.describe(FRAME)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.index"


def test_a_new_index_knows_no_chunk(path: Path) -> None:
    index = Index.create(path, ROOT, INFO)
    assert len(index.records) == INFO.nchunks
    assert not index.records["length"].any()
    index.close()


def test_records_are_there_after_a_reopening(path: Path) -> None:
    index = Index.create(path, ROOT, INFO)
    index.records[3] = (7, 8, 9)
    index.flush()
    index.close()
    again = Index.open(path)
    assert (again.root, again.info) == (ROOT, INFO)
    assert again.records[3].tolist() == (7, 8, 9)
    assert not again.records["length"][[0, 1, 2, 4]].any()
    again.close()


def test_an_index_without_chunks(path: Path) -> None:
    info = samples.describe(samples.array_frame(np.empty((0, 3))))
    Index.create(path, ROOT, info).close()
    index = Index.open(path)
    assert len(index.records) == 0
    index.close()


def test_describe_needs_no_records(path: Path) -> None:
    Index.create(path, ROOT, INFO).close()
    assert Index.describe(path) == (ROOT, INFO)


def test_a_full_disk_is_told_when_it_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="no space"):
        Index.create(path, ROOT, INFO)
    assert list(path.parent.iterdir()) == []


def test_a_truncated_file_is_refused(path: Path) -> None:
    Index.create(path, ROOT, INFO).close()
    content = path.read_bytes()
    for size in [0, 1, 15, 16, 100, 500, 4096, len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(SourceCorrupt):
            Index.open(path)


def test_a_damaged_description_is_refused_or_harmless(path: Path) -> None:
    Index.create(path, ROOT, INFO).close()
    content = path.read_bytes()
    end = len(content[:4096].rstrip(b"\0"))
    for at in range(end):
        for value in some((0x00, 0x80, 0xC1, 0xFF, content[at] ^ 1, content[at] ^ 4), 3, at):
            damaged = bytearray(content)
            damaged[at] = value
            path.write_bytes(damaged)
            try:
                Index.open(path).close()
            except SourceCorrupt:
                continue
