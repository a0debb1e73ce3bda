"""Frames: Blosc2 objects out of answers, and values in and out of Blosc2 objects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.client.errors import Unreachable
from caterva2.errors import BadRequest, SourceCorrupt
from caterva2.frames import layout

Frame: TypeAlias = blosc2.NDArray | blosc2.SChunk


def parse(body: bytearray) -> Frame:
    """Open a cframe in place, as an array or a byte string.

    Raises
    ------
    Unreachable
        If it is not a cframe.
    """
    try:
        header = bytes(body[: layout.header_length(bytes(body[: layout.HEADER_MIN]))])
        if "b2nd" in layout.parse_header(header).metalayers:
            return blosc2.ndarray_from_cframe(body)
        return blosc2.schunk_from_cframe(body)
    except (RuntimeError, ValueError, SourceCorrupt) as error:
        raise Unreachable(f"the subscriber sent an invalid frame: {error}") from None


def decode(frame: Frame) -> Any:
    """Return the values of a frame: an array, or the bytes of a byte string."""
    if isinstance(frame, blosc2.NDArray):
        # A string or record of one item loses its width without the dtype.
        return np.asarray(frame[()], frame.dtype)
    return b"".join(frame.decompress_chunk(n) for n in range(frame.nchunks))


def pack(values: npt.NDArray[Any]) -> blosc2.NDArray:
    """Make a Blosc2 array of values."""
    # Contiguous, since else Blosc2 makes a broken frame of items over 255 bytes.
    return blosc2.asarray(values, contiguous=True)


def cframe_of(data: Any) -> Path | bytes:
    """Return the cframe of an array, or the path of a file that is one already.

    Raises
    ------
    BadRequest
        If a ``.npy`` file can't be read.
    """
    if isinstance(data, str | os.PathLike):
        file = Path(data)
        if file.suffix.lower() != ".npy":
            return file
        try:
            data = np.load(file, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise BadRequest(f"{file} can't be read: {error}") from None
    if not isinstance(data, blosc2.NDArray):
        data = pack(np.asarray(data, order="C"))
    return bytes(data.to_cframe())
