"""One version of a dataset in the cache: chunks on the disk, and what is held in memory."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from caterva2.cache.chunk_file import Room
from caterva2.cache.chunk_table import SPECIAL
from caterva2.cache.index import Index
from caterva2.cache.memory.memory import Memory
from caterva2.cache.proofs import SUFFIX, ProofFile
from caterva2.cache.readable import Ids
from caterva2.cache.shared_chunks import SharedChunks
from caterva2.cache.touched_blocks import Touched
from caterva2.errors import Damaged, SourceCorrupt
from caterva2.frames import blocks, compose
from caterva2.frames import chunk as chunks
from caterva2.frames.blocks import Map

log = logging.getLogger(__name__)
_owners = itertools.count()
ReadInto = Callable[[memoryview | bytearray, int], None]
"""Fills a buffer with the bytes of a data file from an offset on."""


class Replica(SharedChunks):
    """A sparse copy of one version of a dataset. All methods may be called from any thread.

    Parameters
    ----------
    index : Index
    base : Path or None
        Path of the files without a suffix; None keeps nothing on the disk.
    memory : Memory, optional
        Holds chunks that the disk does not take, and parts of chunks.
    room : Room, optional
        Asked for room before anything is written.

    Attributes
    ----------
    write_error : str
        Why the last chunks were not written, empty if they were.
    """

    def __init__(
        self,
        index: Index,
        base: Path | None,
        memory: Memory | None = None,
        room: Room | None = None,
    ) -> None:
        self.write_error = ""
        self._memory = memory if memory is not None else Memory()
        self._owner = next(_owners)
        self._proofs = None if base is None else ProofFile(base.with_suffix(SUFFIX))
        super().__init__(index, base, room)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files, and of what is held in memory."""
        super().close()
        self._memory.forget(self._owner)
        if self._proofs is not None:
            self._proofs.close()

    def keep_proof(self, n: int, proof: bytes) -> None:
        """Keep what proves that a chunk is the origin's, where the disk takes it."""
        if proof and self._proofs is not None and not self._retired:
            with contextlib.suppress(OSError):
                self._proofs.put(n, proof)

    def proof(self, n: int) -> bytes:
        """Return what proves that a chunk is the origin's; nothing if that is not known."""
        return b"" if self._proofs is None else self._proofs.get(n)

    def missing(self, ids: Ids) -> Ids:
        """Return those of some chunks that are neither stored nor held in memory."""
        absent, overlay = self._table.missing(ids), self._memory.overlay
        if overlay and len(absent):
            held = [overlay.get(self._owner, n) is not None for n in absent.tolist()]
            absent = absent[~np.asarray(held)]
        return absent

    def unwritten(self, ids: Ids) -> Ids:
        """Return those of some chunks that are not on the disk."""
        return ids if self._data is None else self._table.missing(ids)

    def missing_blocks(self, n: int, ids: Sequence[int]) -> list[int]:
        """Return those of some blocks of a chunk that are not held, even if the chunk is stored."""
        return self._memory.parts.missing(self._owner, n, ids)

    def held_blocks(self, n: int) -> tuple[int, int]:
        """Return how many blocks of a chunk are held, and how often some were fetched."""
        return self._memory.parts.held(self._owner, n)

    # --- filling ---

    def hold_blocks(self, n: int, header: bytes, found: Mapping[int, bytes]) -> None:
        """Hold some blocks of a chunk in memory, as they are stored."""
        self._memory.parts.add(self._owner, n, header, found)

    def add(
        self,
        ids: Sequence[int],
        sizes: Sequence[int],
        digests: Sequence[int],
        payload: memoryview | bytes,
    ) -> None:
        """Store raw chunks that passed the gate, or hold them in memory if the disk is full.

        Parameters
        ----------
        ids, sizes, digests : sequences of int
            Number, bytes and CRC-32 of each chunk; each number once.
        payload : bytes-like
            The chunks, one behind the other.
        """
        view = memoryview(payload)
        ends = list(itertools.accumulate(sizes))
        views = [view[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        try:
            self._store(ids, digests, views, view)
            self.write_error = ""
            self._memory.parts.drop(self._owner, ids)
        except OSError as error:
            if not self.write_error and not self.succeeded:
                log.error("%s/%s is not cached: %s", self.root, self.info.path, error)
            self.write_error = error.strerror or str(error)
            for n, chunk in zip(ids, views, strict=True):
                self._memory.overlay.put(self._owner, n, bytes(chunk))

    def offers(self, ids: Sequence[int]) -> tuple[bytes, ...]:
        """Return the digests of a former version's chunks in the place of some missing ones.

        Returns
        -------
        tuple of bytes
            One for each chunk, empty where there is none; nothing at all if there are none.
        """
        if not self.may_offer:
            return ()
        found = (self.offer(n) for n in ids)
        digests = tuple(b"" if chunk is None else blocks.digest(chunk) for chunk in found)
        return digests if any(digests) else ()

    def confirm(self, n: int) -> None:
        """Store a chunk that was offered, and has the same digest in this version.

        Raises
        ------
        Damaged
            If it is not there any more.
        """
        if not self._confirm(n):
            raise Damaged(f"chunk {n} of {self.info.path} was damaged after it was offered")
        self._memory.parts.drop(self._owner, [n])

    # --- reading ---

    def read(self, ids: Ids) -> list[bytes] | None:
        """Read raw chunks, each verified once since the start; None if one is missing.

        A chunk whose digest is wrong is forgotten, so that it will be fetched again.
        """
        found = self._read_runs(ids) if len(ids) > 1 else None
        if found is not None:
            return found
        found = []
        for n in ids.tolist():
            chunk = self._read_one(n)
            if chunk is None:
                return None
            found.append(chunk)
        return found

    def read_touched(self, requested: Touched) -> list[bytes] | None:
        """Read chunks in which the requested blocks have their values; None if one is missing."""
        found: list[bytes] = []
        for n, ids in requested.items():
            chunk = self._read_one(n) or self._memory.parts.chunk(self._owner, n, ids)
            if chunk is None:
                return None
            found.append(chunk)
        return found

    def _read_one(self, n: int) -> bytes | None:
        chunk = self._read_stored(n)
        return chunk if chunk is not None else self._memory.overlay.get(self._owner, n)

    def try_block(self, n: int, block: int) -> bytearray | None:
        """Read a chunk of nothing but one block of chunk ``n``, without waiting for a disk.

        Returns
        -------
        bytearray or None
            None if the block is not in memory, was not verified since the start, or can't be
            decoded without the rest of its chunk.
        """
        data = self._data
        return self._one_block(n, block, data.pread_cached) if data and data.can_probe else None

    def _one_block(self, n: int, block: int, read_into: ReadInto) -> bytearray | None:
        table, data = self._stored
        record = table.stored(n)
        if record is None or data is None or not table.verified[n]:
            return None
        offset, length, _ = record
        if offset >= SPECIAL:
            return None
        try:
            found = self._memory.maps.get(
                data.serial, offset, lambda: self._map(read_into, offset, length)
            )
            if found is None:
                return None
            return found.chunk(block, lambda buffer, at: read_into(buffer, offset + at))
        except (OSError, SourceCorrupt):  # raised again where the whole chunk is read
            return None

    def read_blocks(self, n: int, ids: Sequence[int]) -> list[bytes] | None:
        """Read some blocks of a chunk that can be divided, each as a chunk of its own.

        Nothing else of the chunk is read once it was verified.

        Returns
        -------
        list of bytes or None
            None if one is missing.
        """
        data = self._data
        found = [self._one_block(n, block, data.pread_into) for block in ids] if data else []
        if found and None not in found:
            return [bytes(chunk) for chunk in found if chunk is not None]
        whole = self._read_one(n)
        if whole is not None:
            return blocks.singles(whole, ids)
        return self._memory.parts.singles(self._owner, n, ids)

    def _map(self, read_into: ReadInto, offset: int, length: int) -> Map | None:
        count = self.info.chunksize // self.info.blocksize
        start = bytearray(min(length, chunks.HEADER + 4 * count))
        read_into(start, offset)
        return Map.of(bytes(start[: chunks.HEADER]), lambda size, at: bytes(start[at : at + size]))

    def verify(self, ids: Ids) -> Ids:
        """Verify chunks that were not verified since the start; return those that are missing."""
        for n in self._table.unverified(ids).tolist():
            self._read_one(n)
        return self.missing(ids)

    def unproven(self, ids: Ids) -> Ids:
        """Return those of some chunks that were not decoded since the start."""
        found: Ids = ids[~self._table.proven[ids]]
        return found

    def proven(self, ids: Ids) -> None:
        """Note that some chunks could be decoded."""
        self._table.proven[ids] = True

    def drop(self, n: object) -> bool:
        """Forget a chunk that can't be decoded; return False if this is no chunk's number."""
        if not isinstance(n, int) or not 0 <= n < len(self._table):
            return False
        self._forget(n, "it can't be decoded")
        self._memory.parts.drop(self._owner, [n])
        self._memory.overlay.drop(self._owner, n)
        return True

    def whole_in_memory(self) -> bytearray | None:
        """Compose the frame where the disk does not take it; None if a chunk is missing."""
        found = self.read(np.arange(len(self._table)))
        return None if found is None else compose.frame(self._template, found)
