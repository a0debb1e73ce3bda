"""Entries of a catalog, and descriptions of datasets."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, ConfigDict, Field, Strict, model_validator

from caterva2.limits import constants
from caterva2.model.fields import (
    ColumnName,
    Count,
    DimensionName,
    Etag,
    Grid,
    Kind,
    MetalayerName,
    Model,
    Path,
    Shape,
)
from caterva2.names import DatasetPath, user_metalayers

EntryFields = tuple[str, Kind, str, int, float]
"""The fields of an `Entry` in their order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A dataset in a catalog, or the description of a directory: a group.

    ``size`` is its stored size in bytes, 0 for a group, whose path is that of `names.group_path`.

    A catalog may have a million entries, and a `Model` takes 900 bytes more than this class. The
    constructor checks nothing; messages and files with entries are validated as a whole.
    """

    # pydantic accepts a strict dataclass only as an instance, never as a map of a message.
    __pydantic_config__: ClassVar[ConfigDict] = Model.model_config | {"strict": False}

    path: Path
    kind: Kind
    etag: Etag
    size: Annotated[Count, Strict()]
    mtime: Annotated[float, Strict()]

    def fields(self) -> dict[str, object]:
        """Return the fields by name, as in messages and files."""
        return {name: getattr(self, name) for name in self.__slots__}

    def is_of(self, info: DatasetInfo) -> bool:
        """Return whether a description is of this version of the dataset."""
        return (self.etag, self.kind) == (info.etag, info.kind)

    @classmethod
    def of(cls, fields: EntryFields) -> Self:
        """Make an entry of its fields in their order; raise `BadName` for what is no path."""
        path, kind, etag, size, mtime = fields
        return cls(DatasetPath(path), kind, etag, size, mtime)


Check = Callable[[Entry | None], None]
"""Refuses to change a dataset of this version, or one that does not exist, by raising."""


def any_version(_: Entry | None) -> None:
    """Let every version be changed: the `Check` of a request without a condition."""


class CParams(Model):
    """Compression parameters of a frame, as integers of the Blosc2 format."""

    codec: Annotated[int, Field(ge=0, le=255)] = 5
    codec_meta: Annotated[int, Field(ge=0, le=255)] = 0
    clevel: Annotated[int, Field(ge=0, le=9)] = 1
    filters: Annotated[tuple[int, ...], Field(min_length=6, max_length=6)] = (0, 0, 0, 0, 0, 1)
    filters_meta: Annotated[tuple[int, ...], Field(min_length=6, max_length=6)] = (0,) * 6
    splitmode: Annotated[int, Field(ge=1, le=4)] = 1


class DatasetInfo(Model):
    """Description of one version of a dataset, without its chunks.

    For an array ``shape``, ``chunks`` and ``blocks`` are in items and ``dtype`` is the string
    that Blosc2 stores. For a frame or a plain file they are one-dimensional in bytes, and
    ``dtype`` is empty; a group is a byte string of no bytes. ``vlmeta`` has the stored values, in
    msgpack. ``attrs`` has the typed attributes, as `frames.attributes` packs them, where vlmeta
    can't hold all of them. ``dims`` has the names of an array's dimensions, None for one without,
    and is empty where none is known. ``metalayers`` has those of a frame that users made, in
    msgpack; those with reserved names are dropped. A group that is a table has
    the names of its ``columns`` in their order, and the number of its rows if that is known.
    ``signature`` is the origin's, empty where that was not asked for it.
    """

    path: Path
    etag: Etag
    mtime: float
    kind: Kind
    shape: Shape
    chunks: Grid
    blocks: Grid
    dtype: Annotated[str, Field(max_length=constants.DTYPE_LENGTH)] = ""
    typesize: Annotated[int, Field(ge=1, le=constants.ITEMSIZE)] = 1
    chunksize: Annotated[int, Field(ge=0, le=constants.CHUNK_BYTES)]
    blocksize: Annotated[int, Field(ge=0, le=constants.CHUNK_BYTES)]
    nbytes: Count
    cbytes: Count
    cparams: CParams = CParams()
    vlmeta: Annotated[dict[str, bytes], Field(max_length=constants.VLMETA_ITEMS)] = {}
    attrs: Annotated[dict[str, bytes], Field(max_length=constants.ATTRS_ITEMS)] = {}
    dims: Annotated[tuple[DimensionName | None, ...], Field(max_length=constants.NDIM)] = ()
    metalayers: Annotated[
        dict[MetalayerName, bytes],
        Field(max_length=constants.METALAYER_ITEMS),
        AfterValidator(user_metalayers),
    ] = {}
    columns: Annotated[tuple[ColumnName, ...], Field(max_length=constants.TABLE_COLUMNS)] = ()
    nrows: Count | None = None
    signature: Annotated[bytes, Field(max_length=constants.SIGNATURE_BYTES)] = b""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not len(self.shape) == len(self.chunks) == len(self.blocks):
            raise ValueError("shape, chunks and blocks differ in their number of dimensions")
        if sum(map(len, self.vlmeta.values())) > constants.VLMETA_BYTES:
            raise ValueError(f"vlmeta is larger than {constants.VLMETA_BYTES} bytes")
        if self.dims and len(self.dims) != len(self.shape):
            raise ValueError("dims has another number of dimensions than shape")
        if sum(len(name.encode()) for name in self.columns) > constants.TABLE_BYTES:
            raise ValueError(f"columns take more than TABLE_BYTES, {constants.TABLE_BYTES}")
        if sum(map(len, self.metalayers.values())) > constants.METALAYER_BYTES:
            raise ValueError(f"metalayers are larger than {constants.METALAYER_BYTES} bytes")
        if self.attrs_bytes > constants.ATTRS_BYTES:
            raise ValueError(f"attrs are larger than ATTRS_BYTES, {constants.ATTRS_BYTES}")
        if self.kind == "array":
            self._check_array()
        elif self.chunks != (self.chunksize,) or self.shape != (self.nbytes,):
            raise ValueError("the grid of a byte string is its size in bytes")
        if self.nchunks > constants.CHUNK_COUNT:
            raise ValueError(f"{self.nchunks} chunks are too many")
        return self

    def _check_array(self) -> None:
        sizes = self.typesize, self.blocksize, self.chunksize
        if reason := _misfit(self.shape, self.chunks, self.blocks, sizes):
            raise ValueError(reason)

    @property
    def nchunks(self) -> int:
        """Number of chunks, 0 if the dataset is empty."""
        if 0 in self.shape:
            return 0
        return math.prod(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def attrs_bytes(self) -> int:
        """Bytes of the typed attributes, with their names."""
        return sum(len(name.encode()) + len(packed) for name, packed in self.attrs.items())

    def chunk_nbytes(self, n: int) -> int:
        """Return the decompressed size of chunk ``n``; the last one of a byte string is shorter."""
        if self.kind == "array":
            return self.chunksize
        return min(self.chunksize, self.nbytes - n * self.chunksize)


@functools.lru_cache(256)  # most arrays of a root have the same
def _misfit(
    shape: tuple[int, ...], chunks: tuple[int, ...], blocks: tuple[int, ...],
    sizes: tuple[int, int, int],
) -> str:  # fmt: skip
    """Say why the grid of an array and the sizes of its items, blocks and chunks do not fit.

    There is no reason where they do.
    """
    typesize, blocksize, chunksize = sizes
    grid = list(zip(shape, chunks, blocks, strict=True))
    if any(size > 0 and not 0 < block <= chunk for size, chunk, block in grid):
        return "a block is larger than its chunk, or one of them is empty"
    if 0 in shape:
        return ""
    if math.prod(blocks) * typesize != blocksize:
        return "blocksize is not the product of the blocks"
    if math.prod(-(-chunk // block) * block for _, chunk, block in grid) * typesize != chunksize:
        return "chunksize is not the product of the padded chunk"
    return ""
