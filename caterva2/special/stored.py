"""Stored datasets and expressions of a special root, read from their files."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection, split
from caterva2.cache.gate import Gate
from caterva2.cache.readable import Ids
from caterva2.cache.touched_blocks import Touched
from caterva2.compute import recipes, syntax
from caterva2.compute.recipes import Recipe
from caterva2.compute.syntax import Tree
from caterva2.errors import SourceCorrupt
from caterva2.frames.blocks import apart, singles
from caterva2.frames.metadata import check_metalayers
from caterva2.frames.reader import FrameReader
from caterva2.frames.sealed import Sealed
from caterva2.frames.writer import FrameWriter
from caterva2.limits import DEFAULTS, ComputeLimits, SpecialLimits
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.reading import slices
from caterva2.runtime import durable
from caterva2.sources.directory.source import DirectorySource
from caterva2.special.files import one_by_one
from caterva2.special.incoming import Incoming

_TURN = 60.0
"""Seconds until a read has its turn in the process that reads a file."""
LAYOUT = "0"
"""The order of a file's chunks never changes within a version."""


@dataclass(frozen=True, slots=True)
class ParsedExpression:
    """An expression with its syntax tree.

    Parameters
    ----------
    text : str
    operands : mapping
        ``ROOT/PATH`` of each operand by its name in the text.
    tree : Tree
    recipe : Recipe or None
        The stored form, if it is stored.
    """

    text: str
    operands: Mapping[str, str]
    tree: Tree
    recipe: Recipe | None = None

    @property
    def nodes(self) -> int:
        """Number of nodes of the tree."""
        return sum(1 for _ in syntax.nodes(self.tree))


@dataclass(slots=True, eq=False)
class StoredExpression:
    """A file that is named like an array and holds an expression.

    Parameters
    ----------
    path : DatasetPath
    etag : str
    mtime : float
    body : bytes
        Content of the file.
    """

    path: DatasetPath
    etag: str
    mtime: float
    body: bytes
    _parsed: ParsedExpression | None = None

    @property
    def parsed(self) -> ParsedExpression | None:
        """The content, if `parse` was called before."""
        return self._parsed

    def parse(self, limits: ComputeLimits = DEFAULTS.compute) -> ParsedExpression:
        """Parse the content, once.

        Raises
        ------
        SourceCorrupt
        """
        if self._parsed is None:
            recipe, tree = recipes.unpack(self.body, limits)
            self._parsed = ParsedExpression(recipe.expression, recipe.operands, tree, recipe)
        return self._parsed


class StoredDataset:
    """One version of a stored dataset; methods block.

    Chunks of an uploaded frame are read one by one and validated. The Blosc2 library opens the
    file only if all around its chunks is byte for byte what this package would have written.

    Parameters
    ----------
    source : DirectorySource
    info : DatasetInfo
    reader : FrameReader or None
        Of the frame; None for a plain file.
    limits : SpecialLimits
    """

    sealed: Sealed | None = None
    file: Path | None = None
    trusted = False
    """False: each read checks that the file still is this version."""

    def __init__(
        self,
        source: DirectorySource,
        info: DatasetInfo,
        reader: FrameReader | None,
        limits: SpecialLimits = DEFAULTS.special,
    ) -> None:
        self.info = info
        self.etag = info.etag
        self._source = source
        self._limits = limits
        self._verified = np.zeros(info.nchunks, bool)
        self.stored: Sealed | None = None
        if reader is not None:
            self.stored = Sealed(reader, b"", reader.header.frame_length, LAYOUT)
            if info.kind == "array" and reader.is_as_composed(info):
                self.sealed = self.stored
                # The name may refer to the next version already.
                self.file = durable.path_of(reader.fd)

    @classmethod
    def open(
        cls,
        source: DirectorySource,
        path: DatasetPath,
        limits: SpecialLimits = DEFAULTS.special,
    ) -> StoredDataset:
        """Open the current version of a dataset.

        Raises
        ------
        NotFound, StaleVersion, SourceCorrupt
        """
        info = source.info(path)
        if info.kind == "file":
            return cls(source, info, None, limits)
        frame = source.frame(path, info.etag)
        try:
            check_metalayers(frame.header.metalayers)  # the file is sent as it is
        except SourceCorrupt as error:
            raise error.about(path) from None
        return cls(source, info, frame, limits)

    def read(self, ids: Ids) -> list[bytes]:
        """Read raw chunks.

        Raises
        ------
        StaleVersion
            If the file is not that version any more.
        """
        if self.info.kind == "file":
            return [self._packed(n) for n in ids.tolist()]
        runs = self._source.chunks(self.info.path, self.info.etag, ids.tolist())
        return list(one_by_one(runs))

    def blocks(self, n: int, ids: Sequence[int]) -> list[bytes]:
        """Read blocks of a chunk that can be divided, each as a chunk of its own."""
        return apart(self._source.blocks(self.info.path, self.info.etag, n, ids))

    def read_touched(self, requested: Touched) -> None:
        """Return None: no chunk is stored in part."""

    def missing(self, ids: Ids) -> Ids:
        """Return no chunk: all are stored."""
        return ids[:0]

    def verify(self, ids: Ids) -> Ids:
        """Validate chunks that were not validated before; none is ever missing."""
        if self.info.kind == "file":  # packed by us, of bytes whose version each read checks
            return ids[:0]
        for n in ids[~self._verified[ids]].tolist():
            self.read(np.array([n]))
            self._verified[n] = True
        self._source.check(self.info.path, self.info.etag)
        return ids[:0]

    def _packed(self, n: int) -> bytes:
        start = n * self.info.chunksize
        data = self._bytes(start, start + self.info.chunk_nbytes(n))
        return slices.pack_file_chunk(self.info, data)

    def _bytes(self, start: int, stop: int) -> bytes:
        info = self.info
        return b"".join(self._source.read_bytes(info.path, info.etag, start, stop))

    def file_values(self, selection: Selection) -> Values:
        """Read a selection of the bytes of a plain file."""
        result = np.empty(selection.result_shape, np.uint8)
        max_chunks = max(1, self._limits.decode_step // self.info.chunksize)
        for part, where in split(selection, self.info.chunks, max_chunks):
            axis = part.axes[0]
            if isinstance(axis, int):
                result[where] = self._bytes(axis, axis + 1)[0]
            elif len(axis):
                low, high = min(axis[0], axis[-1]), max(axis[0], axis[-1])
                data = np.frombuffer(self._bytes(low, high + 1), np.uint8)
                result[where] = data[np.arange(axis[0], axis[-1] + axis.step, axis.step) - low]
        return result

    def whole(self, incoming: Incoming) -> Sealed:
        """Return the stored frame, or a temporary frame of a plain file."""
        if self.stored is not None:
            self._source.check(self.info.path, self.info.etag)
            return self.stored
        with incoming.file() as staged:
            with FrameWriter(staged.path, self.info) as frame:
                for n in range(self.info.nchunks):
                    frame.add(self._packed(n))
                frame.finish()
            return open_unnamed(staged.path)


class StoredMember(StoredDataset):
    """One version of a dataset in a stored file, such as one of HDF5; methods block."""

    def __init__(
        self, source: DirectorySource, info: DatasetInfo, limits: SpecialLimits = DEFAULTS.special
    ) -> None:
        super().__init__(source, info, None, limits)
        self._gate = Gate(info)

    @classmethod
    def open(
        cls,
        source: DirectorySource,
        path: DatasetPath,
        limits: SpecialLimits = DEFAULTS.special,
    ) -> StoredMember:
        return cls(source, source.info(path, _deadline()), limits)

    def read(self, ids: Ids) -> list[bytes]:
        info = self.info
        runs = self._source.chunks(info.path, info.etag, ids.tolist(), _deadline())
        found = list(one_by_one(runs))
        for n, chunk in zip(ids.tolist(), found, strict=True):
            self._gate.check(n, chunk)
        return found

    def blocks(self, n: int, ids: Sequence[int]) -> list[bytes]:
        return singles(self.read(np.array([n]))[0], ids)

    def verify(self, ids: Ids) -> Ids:
        """Return no chunk: `read` validates them."""
        return ids[:0]

    def _packed(self, n: int) -> bytes:
        return self.read(np.array([n]))[0]


def _deadline() -> float:
    return time.monotonic() + _TURN


def open_unnamed(path: Path) -> Sealed:
    """Open a written frame, which stays readable after its name is removed."""
    file = _Unnamed(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    size = os.fstat(file.fd).st_size
    tail = os.pread(file.fd, 2**16, max(0, size - 2**16))
    return Sealed(file, b"", size, f"{zlib.crc32(tail):08x}")


class _Unnamed:
    """An open file without a name; its space is freed with the last reference to this."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)
