"""A cache on a real disk under a process that dies at any time, and a disk that damages bytes.

A crash takes the files as they are at that moment, nothing closed and nothing flushed. What is
read must be the stored bytes or not there; what was acknowledged and not damaged is there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from pathlib import Path

import blosc2
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from caterva2.arrays.selection import normalise
from caterva2.cache.check import check
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.frames import blocks
from caterva2.frames.reader import FrameReader
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName
from caterva2.reading import slices

ROOT = RootName("foo")
COUNT, GRID = 6, 10
VALUES = np.random.default_rng(7).integers(0, 2**40, COUNT * GRID)
VALUES[2 * GRID : 3 * GRID] = 0
VALUES[4 * GRID : 5 * GRID] = 7


VERSIONS = 4


def values_of(version: int) -> np.ndarray:
    """The values of a version; each has one chunk that the others have not."""
    values = VALUES.copy()
    values[version * GRID : (version + 1) * GRID] += version
    return values


def source(version: int) -> tuple[DatasetInfo, list[bytes]]:
    """An array's description and its raw chunks; some are special."""
    array = blosc2.asarray(values_of(version), chunks=(GRID,), blocks=(5,), contiguous=True)
    array.schunk.vlmeta["unit"] = "m"
    fd = os.memfd_create("frame")
    os.write(fd, array.to_cframe())
    reader = FrameReader(fd)
    [run] = reader.runs(range(COUNT))
    ends = np.cumsum(run.sizes).tolist()
    chunks = [run.payload[end - size : end] for end, size in zip(ends, run.sizes, strict=True)]
    etag, mtime = f"e{version}", float(version)
    return reader.info(DatasetPath("a.b2nd"), "array", etag, mtime), chunks


SOURCES = [source(version) for version in range(VERSIONS)]
PATH = SOURCES[0][0].path
ALL = np.arange(COUNT)
some = st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=COUNT)


class ReplicaWorld(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.runs = 0
        self.store = Store(self._directory)
        self.version = 0
        self.acknowledged: set[int] = set()
        self.former: list[tuple[Replica, list[bytes]]] = []
        """Replicas that were forgotten or succeeded while somebody reads them, and their chunks."""

    @property
    def info(self) -> DatasetInfo:
        return SOURCES[self.version][0]

    @property
    def raw(self) -> list[bytes]:
        return SOURCES[self.version][1]

    @property
    def _directory(self) -> Path:
        return self.home / str(self.runs)

    def teardown(self) -> None:
        self.former.clear()
        self.store.close()
        shutil.rmtree(self.home)

    @property
    def replica(self) -> Replica:
        return self.store.replica(ROOT, self.info, newest=True)

    # --- a subscriber at work ---

    @rule(ids=some)
    def chunks_arrive(self, ids: list[int]) -> None:
        pieces, replica = [self.raw[n] for n in ids], self.replica
        for n, piece in zip(ids, pieces, strict=True):
            replica.check(n, piece)
        sizes, digests = list(map(len, pieces)), list(map(zlib.crc32, pieces))
        replica.add(ids, sizes, digests, b"".join(pieces))
        self.acknowledged.update(ids)

    @rule(ids=some)
    def chunks_are_read(self, ids: list[int]) -> None:
        found = self.replica.read(np.array(ids))
        if found is None:
            assert not self.acknowledged.issuperset(ids)
        else:
            assert found == [self.raw[n] for n in ids]

    @rule(start=st.integers(0, len(VALUES)), stop=st.integers(0, len(VALUES)))
    def values_are_read(self, start: int, stop: int) -> None:
        found = slices.values(self.replica, normalise(slice(start, stop), self.info.shape))
        if found is not None:
            np.testing.assert_array_equal(found, values_of(self.version)[start:stop])

    @rule(keep=st.booleans())
    def all_is_sealed(self, keep: bool) -> None:
        replica = self.replica
        if len(replica.verify(ALL)):
            return
        sealed = replica.seal()
        assert sealed is not None
        frame = sealed.pread(sealed.size, 0)
        opened = blosc2.ndarray_from_cframe(frame)
        np.testing.assert_array_equal(opened[:], values_of(self.version))
        assert opened.schunk.vlmeta["unit"] == "m"
        if keep:
            replica.keep()
            assert replica.file is not None
            assert replica.file.read_bytes() == frame

    @rule()
    def all_is_forgotten(self) -> None:
        self.former = [(self.replica, self.raw)]
        self.store.forget(ROOT, PATH)
        assert not [file for file in self._directory.rglob("*") if file.is_file()]
        self.acknowledged.clear()

    @rule(ids=some)
    def what_was_forgotten_is_read(self, ids: list[int]) -> None:
        for replica, raw in self.former:
            assert replica.read(np.array(ids)) in (None, [raw[n] for n in ids])

    @precondition(lambda self: self.version + 1 < VERSIONS)
    @rule(tidy=st.booleans())
    def a_new_version_comes(self, tidy: bool) -> None:
        self.former.append((self.replica, self.raw))
        self.version += 1
        self.acknowledged.clear()
        if tidy:
            self.store.forget(ROOT, PATH, self.info.etag)

    @rule(ids=some)
    def chunks_of_the_former_version_are_confirmed(self, ids: list[int]) -> None:
        replica = self.replica
        missing = replica.missing(np.unique(ids)).tolist()
        for n, digest in zip(missing, replica.offers(missing), strict=False):
            if digest and digest == blocks.digest(self.raw[n]):
                replica.confirm(n)
                self.acknowledged.add(n)

    @rule()
    def what_is_of_no_use_is_left_out(self) -> None:
        self.replica.renew()

    # --- a subscriber that dies ---

    def _dies(self) -> list[Path]:
        """The files as they are, without anybody who has them open."""
        before = self._directory
        self.runs += 1
        shutil.copytree(before, self._directory)
        self.former.clear()
        self.store.close()
        shutil.rmtree(before)
        return sorted(file for file in self._directory.rglob("*") if file.is_file())

    def _starts(self) -> None:
        self.store = Store(self._directory)

    @rule()
    def process_dies(self) -> None:
        self._dies()
        self._starts()
        assert not np.isin(list(self.acknowledged), self.replica.missing(ALL)).any()

    @rule(garbage=st.binary(min_size=1, max_size=200))
    def process_dies_while_it_appends(self, garbage: bytes) -> None:
        """Bytes of a chunk are in the file that the index does not know yet."""
        for file in self._dies():
            if file.suffix == ".part":
                with file.open("ab") as data:
                    data.write(garbage)
        self._starts()

    @rule(index=st.booleans(), share=st.floats(0, 1))
    def power_fails(self, index: bool, share: float) -> None:
        """One of the files lost its end."""
        for file in self._dies():
            if (file.suffix == ".index") == index:
                os.truncate(file, int(file.stat().st_size * share))
                self.acknowledged.clear()
        self._starts()

    @rule(index=st.booleans(), at=st.integers(0, 2**16), bit=st.integers(0, 7))
    def disk_damages_a_byte(self, index: bool, at: int, bit: int) -> None:
        for file in self._dies():
            if (file.suffix == ".index") == index and file.stat().st_size:
                content = bytearray(file.read_bytes())
                # Most of an index is the empty room in front of its records.
                used = [n for n in range(len(content)) if not index or n < 400 or n >= 4096]
                content[used[at % len(used)]] ^= 1 << bit
                file.write_bytes(content)
                self.acknowledged.clear()
        self._starts()

    @rule()
    def cache_is_checked(self) -> None:
        self._dies()
        check(self._directory)
        again = check(self._directory)
        assert again.clean, again
        self._starts()
        kept = self.store.existing(ROOT, self.info)
        count = kept.cached_chunks if kept else 0
        assert count >= len(self.acknowledged)
        assert again.chunks == count or again.replicas > 1 or kept is None

    # --- what must hold ---

    @invariant()
    def what_is_there_is_right(self) -> None:
        kept = self.store.opened(ROOT, self.info)
        if kept is not None:
            assert kept.cached_chunks >= len(self.acknowledged)
