"""Stream reader: decodes an answer in the format of `caterva2.rest.stream`, part by part."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from caterva2 import errors
from caterva2.arrays import dtypes
from caterva2.arrays.selection import Box, Selection, box, count_chunks, normalise, split
from caterva2.client.errors import HttpError, Undecodable, Unreachable
from caterva2.client.read.buffer import ChunkBuffer, Scratch
from caterva2.client.read.decoding import decoding
from caterva2.client.transport import MAX_BODY, Response, Transport
from caterva2.errors import CatervaError, SourceCorrupt, StaleVersion
from caterva2.frames import chunk
from caterva2.model import DatasetInfo, Kind
from caterva2.rest import media, paths, stream
from caterva2.rest.paths import relative
from caterva2.rest.stream import MEDIA_TYPE, ChunksHead, ValuesHead

T = TypeVar("T")
Values = npt.NDArray[Any]
ACCEPT = {"Accept": f"{MEDIA_TYPE}, {media.BINARY};q=0.5"}
_BROKEN = "the connection broke within a stream"
_AT_ONCE = 64 * 1024  # bytes of a stream that is read in one piece, which takes fewer calls
_PART = 2**30  # bytes of a part of several chunks; subscribers send some megabytes
_FAILURE = 64 * 1024  # bytes of the error that may end a stream


def is_stream(response: Response) -> bool:
    """Whether an answer is a stream, not a frame."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip() == MEDIA_TYPE


def read(
    transport: Transport, path: str, query: dict[str, str], work: Callable[[Response], T]
) -> T:
    """Request part of a dataset as a stream, and do something with the answer.

    The subscriber does not decode the chunks of a stream. So one that can't be decoded here is
    requested alone, which makes the subscriber decode it, and fetch it anew if that fails.

    Raises
    ------
    HttpError
        If the subscriber refuses, or can't decode a chunk either.
    Undecodable
        If a chunk can't be decoded here, although the subscriber can decode it.
    """
    try:
        return _read(transport, path, query, work)
    except Undecodable as error:
        bad = {"nchunk": str(error.info["chunk"])}
        with transport.ask(relative(paths.CHUNK, path), bad) as response:
            response.content()
    try:
        return _read(transport, path, query, work)
    except Undecodable as error:
        raise error.about(path) from None


def _read(
    transport: Transport, path: str, query: dict[str, str], work: Callable[[Response], T]
) -> T:
    with transport.ask(relative(paths.FETCH, path), query, ACCEPT) as response:
        return work(response)


class Arrived(NamedTuple):
    """Chunks of one part of a stream: their numbers, sizes, digests, and bytes, side by side."""

    ids: npt.NDArray[np.int64]
    sizes: stream.Sizes
    digests: npt.NDArray[np.uint32]
    payload: memoryview


class Reader:
    """A stream that is being received.

    Attributes
    ----------
    head : ValuesHead or ChunksHead

    Raises
    ------
    Unreachable
        If it is invalid or ends early.
    """

    def __init__(self, response: Response) -> None:
        self._response: Response | io.BytesIO = response
        if response.length is not None and response.length <= _AT_ONCE:
            self._response = io.BytesIO(response.read(response.length))
        try:
            length = stream.head_length(self._take(stream.START.size))
            self.head: ValuesHead | ChunksHead = stream.parse_head(self._take(length))
        except CatervaError as error:
            raise Unreachable(f"the subscriber sent an invalid stream: {error}") from None

    def values(self, shape: tuple[int, ...], selection: Selection | None) -> Values:
        """Read the values.

        Parameters
        ----------
        shape : tuple of int
            Their shape.
        selection : Selection or None
            None if they have index arrays, which a stream of chunks can't answer.

        Raises
        ------
        StaleVersion
            If the dataset changed before all of it was sent.
        HttpError
            If something else went wrong at the subscriber.
        Undecodable
            If a chunk can't be decoded.
        """
        try:
            if isinstance(self.head, ValuesHead):
                found = self._plain(self.head, shape)
            elif selection is None or selection.shape != self.head.info.shape:
                raise Unreachable("the subscriber sent chunks instead of values")
            else:
                found = self._decoded(self.head, shape, selection)
        except (HttpError, StaleVersion, Unreachable):
            raise
        except CatervaError as error:
            if isinstance(error, SourceCorrupt) and "chunk" in error.info:
                raise Undecodable(f"{error}, as the subscriber sent it", info=error.info) from None
            raise Unreachable(f"the subscriber sent an invalid stream: {error}") from None
        if self._response.readinto(memoryview(bytearray(1))):  # also ends the response
            raise Unreachable("the subscriber sent more than was requested")
        return found

    def all_of(self, key: Any) -> tuple[Values, Kind]:
        """Read the values of a key of integers, slices and ``...``, and the dataset's kind."""
        if isinstance(self.head, ValuesHead):
            return self.values(self.head.shape, None), self.head.kind
        info = self.head.info
        chosen = normalise(key, info.shape)
        return self.values(chosen.result_shape, chosen), info.kind

    def numbered(self, ids: npt.NDArray[np.int64]) -> Iterator[Arrived]:
        """Yield the chunks that were requested by their numbers, part by part.

        What is yielded is overwritten by the next part.

        Raises
        ------
        StaleVersion, HttpError, Unreachable
            As of `values`.
        """
        head, scratch = self.head, Scratch()
        if not isinstance(head, ChunksHead):
            raise Unreachable("the subscriber sent values instead of chunks")
        most_bytes = head.info.chunksize + chunk.MOST_OVERHEAD
        for start in range(0, len(ids), head.most):
            part = ids[start : start + head.most]
            kind, length = stream.PART.unpack(self._take(stream.PART.size))
            if kind == stream.FAILURE:
                raise self._failure(length)
            sizes = np.frombuffer(self._take(4 * len(part)), "<u4")
            digests = np.frombuffer(self._take(4 * len(part)), "<u4")
            plain = np.where(sizes > stream.SPECIAL, 0, sizes).astype(np.int64)
            nbytes = int(plain.sum())
            if (
                kind != stream.CHECKED
                or length != 8 * len(part) + nbytes
                or (plain > most_bytes).any()
                or nbytes > max(most_bytes, _PART)
            ):
                raise Unreachable(f"received a part of {length} bytes for {len(part)} chunks")
            view = scratch.received(nbytes)
            self._fill(view)
            yield Arrived(part, sizes, digests, view)
        if self._response.readinto(memoryview(bytearray(1))):  # also ends the response
            raise Unreachable("the subscriber sent more than was requested")

    def _plain(self, head: ValuesHead, shape: tuple[int, ...]) -> Values:
        dtype = dtypes.parse(head.dtype)
        if head.shape != shape:
            raise Unreachable(f"requested {shape}, received {head.shape}")
        found = _allocate(shape, dtype)
        self._fill(found.reshape(-1).view(np.uint8).data)
        return found

    def _decoded(self, head: ChunksHead, shape: tuple[int, ...], selection: Selection) -> Values:
        info = head.info
        dtype = dtypes.parse(info.dtype) if info.kind == "array" else np.dtype(np.uint8)
        found = _allocate(shape, dtype)
        parts = -(-count_chunks(selection, info.chunks) // head.most)
        with decoding(info, parts, head.most) as decoder:
            for part, where in split(selection, info.chunks, head.most):
                buffer = self._part(info, box(part, info.chunks), decoder.scratch())
                place: Any = (*where, ...)  # so that a single item is an array too
                decoder.decode(partial(buffer.decode, found[place]))
            decoder.finish()
        return found

    def _part(self, info: DatasetInfo, small: Box, scratch: Scratch) -> ChunkBuffer:
        """Receive the chunks of a part."""
        count = len(small.chunk_ids)
        kind, length = stream.PART.unpack(self._take(stream.PART.size))
        if kind != stream.CHUNKS:
            raise self._failure(length)
        sizes = np.frombuffer(self._take(4 * count), "<u4")
        buffer = ChunkBuffer(info, small, sizes, scratch)
        if length != 4 * count + len(buffer.chunks):
            raise Unreachable(f"received a part of {length} bytes for {count} chunks")
        self._fill(buffer.chunks)
        return buffer

    def _failure(self, length: int) -> CatervaError:
        if length > _FAILURE:
            return Unreachable(_BROKEN)
        try:
            fields = json.loads(self._take(length))
            error = errors.from_wire(str(fields["name"]), str(fields["detail"]))
        except (ValueError, KeyError, TypeError):
            return Unreachable(_BROKEN)
        if isinstance(error, StaleVersion):
            return error
        return HttpError(error.status, HTTPStatus(error.status).phrase, error.detail, error.name)

    def _take(self, length: int) -> bytes:
        taken = self._response.read(length)
        if len(taken) < length:
            raise Unreachable(_BROKEN)
        return taken

    def _fill(self, view: memoryview) -> None:
        at = 0
        while at < len(view):
            count = self._response.readinto(view[at:])
            if not count:
                raise Unreachable(_BROKEN)
            at += count


def _allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Values:
    """Allocate memory for the values."""
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BODY:
        raise Unreachable(f"{size} bytes were announced")
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        raise Unreachable(f"no memory for {size} bytes") from None
