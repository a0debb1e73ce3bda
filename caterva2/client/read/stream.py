"""The stream of chunks or values that a subscriber answers with, decoded as it comes.

The format is that of `caterva2.rest.stream`. No more than a part of it is held at a time.
"""

from __future__ import annotations

import http.client
import io
import json
import math
from http import HTTPStatus
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2 import errors
from caterva2.arrays import dtypes
from caterva2.arrays.selection import Selection, box, normalise, split
from caterva2.client.http.connections import Unreachable
from caterva2.client.http.transport import MAX_BODY, HttpError, read, receive
from caterva2.client.read.boxes import Room
from caterva2.errors import CatervaError, StaleVersion
from caterva2.model import Kind
from caterva2.rest import stream
from caterva2.rest.stream import MEDIA_TYPE, ChunksHead, ValuesHead

Values = npt.NDArray[Any]
ACCEPT = {"Accept": f"{MEDIA_TYPE}, application/octet-stream;q=0.5"}
_AT_ONCE = 64 * 1024
"""A stream of no more bytes is received in one piece: that takes fewer steps."""
_FAILURE = 64 * 1024
"""Bytes of what a subscriber tells when it breaks off."""


def is_stream(response: http.client.HTTPResponse) -> bool:
    """Whether an answer is such a stream, and no frame."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip() == MEDIA_TYPE


class Reader:
    """A stream that is being received.

    Attributes
    ----------
    head : ValuesHead or ChunksHead

    Raises
    ------
    Unreachable
        If it makes no sense or breaks off.
    """

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response: http.client.HTTPResponse | io.BytesIO = response
        if response.length is not None and response.length <= _AT_ONCE:
            self._response = io.BytesIO(read(response, response.length))
        try:
            length = stream.head_length(self._take(stream.START.size))
            self.head: ValuesHead | ChunksHead = stream.parse_head(self._take(length))
        except CatervaError as error:
            raise Unreachable(f"the subscriber sent nonsense: {error}") from None

    def values(self, shape: tuple[int, ...], selection: Selection | None) -> Values:
        """What was asked for.

        Parameters
        ----------
        shape : tuple of int
            That it must have.
        selection : Selection or None
            None where it has index arrays, so that chunks alone don't make it.

        Raises
        ------
        StaleVersion
            If the dataset changed before all of it was sent.
        HttpError
            If something else went wrong at the subscriber.
        """
        try:
            if isinstance(self.head, ValuesHead):
                found = self._plain(self.head, shape)
            elif selection is None or selection.shape != self.head.info.shape:
                raise Unreachable("the subscriber sent chunks where values were asked for")
            else:
                found = self._decoded(self.head, shape, selection)
        except (HttpError, StaleVersion, Unreachable):
            raise
        except CatervaError as error:
            raise Unreachable(f"the subscriber sent nonsense: {error}") from None
        if receive(self._response, memoryview(bytearray(1))):  # also ends the response
            raise Unreachable("the subscriber sent more than was asked for")
        return found

    def all_of(self, key: Any) -> tuple[Values, Kind]:
        """What a key of integers, slices and ``...`` selects, and of which kind of dataset."""
        if isinstance(self.head, ValuesHead):
            return self.values(self.head.shape, None), self.head.kind
        info = self.head.info
        wanted = normalise(key, info.shape)
        return self.values(wanted.result_shape, wanted), info.kind

    def _plain(self, head: ValuesHead, shape: tuple[int, ...]) -> Values:
        dtype = dtypes.parse(head.dtype)
        if head.shape != shape:
            raise Unreachable(f"{shape} was asked for, {head.shape} came")
        found = _room(shape, dtype)
        self._fill(found.reshape(-1).view(np.uint8).data)
        return found

    def _decoded(self, head: ChunksHead, shape: tuple[int, ...], selection: Selection) -> Values:
        info = head.info
        dtype = dtypes.parse(info.dtype) if info.kind == "array" else np.dtype(np.uint8)
        found = _room(shape, dtype)
        for part, where in split(selection, info.chunks, head.most):
            small = box(part, info.chunks)
            count = len(small.chunk_ids)
            kind, length = stream.PART.unpack(self._take(stream.PART.size))
            if kind != stream.CHUNKS:
                raise self._failure(length)
            room = Room(info, small, np.frombuffer(self._take(4 * count), "<u4"))
            if length != 4 * count + len(room.chunks):
                raise Unreachable(f"a part of {length} bytes came for {count} chunks")
            self._fill(room.chunks)
            place: Any = (*where, ...)  # so that also a single item is an array
            room.decode(found[place])
        return found

    def _failure(self, length: int) -> CatervaError:
        if length > _FAILURE:
            return Unreachable("the subscriber broke off")
        try:
            told = json.loads(self._take(length))
            error = errors.from_wire(str(told["name"]), str(told["detail"]))
        except (ValueError, KeyError, TypeError):
            return Unreachable("the subscriber broke off")
        if isinstance(error, StaleVersion):
            return error
        return HttpError(error.status, HTTPStatus(error.status).phrase, error.detail, error.name)

    def _take(self, length: int) -> bytes:
        taken = read(self._response, length)
        if len(taken) < length:
            raise Unreachable("the subscriber broke off")
        return taken

    def _fill(self, view: memoryview) -> None:
        if _receive_all(self._response, view) < len(view):
            raise Unreachable("the subscriber broke off")


def _receive_all(source: http.client.HTTPResponse | io.BytesIO, view: memoryview) -> int:
    """Fill a buffer as far as there is something; the number of bytes."""
    at = 0
    while at < len(view) and (count := receive(source, view[at:])):
        at += count
    return at


def _room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Values:
    """Memory for the answer."""
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BODY:
        raise Unreachable(f"{size} bytes were announced")
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        raise Unreachable(f"no memory for {size} bytes") from None
