"""The stream format: a selection of a dataset as raw chunks or as values.

All numbers are little-endian. A stream begins with the magic, the length of the head in four
bytes, and the head, which is a msgpack map. Its ``form`` says how the stream goes on:

``values``
    the selected values in C order;
``chunks``
    parts, each with the chunks that a part of the selection touches. Both sides split the
    selection with `selection.split`, into parts of at most ``most`` chunks as the head says. A
    part begins with its kind and its length in bytes, followed by the sizes of its chunks, four
    bytes each, and the chunks. A chunk of zeros or NaNs is a size above `SPECIAL` without bytes.

A part of the kind `CHECKED` has the CRC-32 of each chunk behind the sizes, four bytes each; so are
all parts of an answer to a request for chunks by their numbers, in the order of these.

A part of the kind `FAILURE` ends the stream: it holds the error as JSON.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Annotated, Literal

import msgpack
import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from caterva2.errors import BadMessage
from caterva2.frames import chunk as chunk_gate
from caterva2.frames.raw import crc32
from caterva2.limits import constants
from caterva2.model import DatasetInfo, Kind, Model, Shape

MEDIA_TYPE = "application/vnd.caterva2.chunks"
MAGIC = b"C2S\x01"
START = struct.Struct("<4sI")
PART = struct.Struct("<IQ")
CHUNKS, FAILURE, CHECKED = 0, 1, 2
_SMALL_HEAD = 256
"""Bytes of a head up to which its parsed form is cached."""
SPECIAL = 2**32 - 256
"""A size above it is this number plus the kind of a special chunk."""
Sizes = npt.NDArray[np.uint32]


class ValuesHead(Model):
    """Head of a stream of values: their shape and dtype, and the kind of their dataset."""

    form: Literal["values"] = "values"
    kind: Kind
    shape: Shape
    dtype: Annotated[str, Field(max_length=constants.DTYPE_LENGTH)]


class ChunksHead(Model):
    """Head of a stream of chunks: the dataset, and the maximum number of chunks of a part."""

    form: Literal["chunks"] = "chunks"
    info: DatasetInfo
    most: Annotated[int, Field(ge=1, le=constants.CHUNK_COUNT)]


Head = Annotated[ValuesHead | ChunksHead, Field(discriminator="form")]
_HEAD: TypeAdapter[ValuesHead | ChunksHead] = TypeAdapter(Head)


@functools.lru_cache(maxsize=1024)  # small slices often have one shape
def begin_values(kind: Kind, shape: tuple[int, ...], dtype: str) -> bytes:
    """Return the beginning of a stream of values."""
    # Without the model: making one takes as long as reading a small slice.
    return _begin({"form": "values", "kind": kind, "shape": shape, "dtype": dtype})


def begin_chunks(info: DatasetInfo, most: int) -> bytes:
    """Return the beginning of a stream of chunks."""
    metadata = {"vlmeta", "attrs", "dims", "metalayers", "columns", "nrows"}
    return _begin(ChunksHead(info=info, most=most).model_dump(exclude={"info": metadata}))


def _begin(head: dict[str, object]) -> bytes:
    packed: bytes = msgpack.packb(head, use_bin_type=True)
    return START.pack(MAGIC, len(packed)) + packed


def head_length(start: bytes) -> int:
    """Return the length of the head, from the first bytes of a stream.

    Raises
    ------
    BadMessage
        If they are not the beginning of a stream.
    """
    magic, length = START.unpack(start)
    if magic != MAGIC or length > constants.HEADER_BYTES:
        raise BadMessage("the answer is not a stream of chunks or values")
    return int(length)


def parse_head(packed: bytes) -> ValuesHead | ChunksHead:
    """Parse the head of a stream.

    Raises
    ------
    BadMessage
        If it is malformed.
    """
    return (_parse_small_head if len(packed) <= _SMALL_HEAD else _parse_head)(packed)


def _parse_head(packed: bytes) -> ValuesHead | ChunksHead:
    try:
        return _HEAD.validate_python(msgpack.unpackb(packed, use_list=False))
    except (ValueError, ValidationError, msgpack.UnpackException) as error:
        raise BadMessage(f"the head of a stream is malformed: {error}") from None


_parse_small_head = functools.lru_cache(maxsize=256)(_parse_head)  # small slices repeat theirs


def part(chunks: Sequence[bytes], *, checked: bool = False) -> list[bytes]:
    """Return a part of a stream, as pieces to be sent one after the other.

    Parameters
    ----------
    chunks : sequence of bytes
    checked : bool
        Whether the digests of the chunks are in it; that of a special chunk is 0.
    """
    sizes = np.empty(len(chunks), "<u4")
    digests = np.zeros(len(chunks), "<u4")
    stored = []
    for n, chunk in enumerate(chunks):
        kind = chunk_gate.special_offset(chunk) >> 56 & 0x7F
        sizes[n] = SPECIAL + kind if kind else len(chunk)
        if not kind:
            stored.append(chunk)
            digests[n] = crc32(chunk) if checked else 0
    table = sizes.tobytes() + (digests.tobytes() if checked else b"")
    length = len(table) + sum(map(len, stored))
    return [PART.pack(CHECKED if checked else CHUNKS, length) + table, *stored]


def failure(body: bytes) -> bytes:
    """Return the part that ends a stream early."""
    return PART.pack(FAILURE, len(body)) + body


def offsets(sizes: Sizes) -> tuple[npt.NDArray[np.uint64], int]:
    """Return the offsets of a part's chunks, as a frame's index has them, and their total size."""
    plain = np.where(sizes > SPECIAL, 0, sizes).astype(np.uint64)
    ends = np.cumsum(plain, dtype=np.uint64)
    kinds = (sizes.astype(np.uint64) - np.uint64(SPECIAL)) | np.uint64(0x80)
    found = np.where(sizes > SPECIAL, kinds << np.uint64(56), ends - plain)
    return found, int(ends[-1]) if len(ends) else 0
