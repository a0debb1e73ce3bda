"""Reception of an uploaded file."""

from __future__ import annotations

import asyncio
import functools

from caterva2.errors import DeadlineExceeded
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.model import Upload
from caterva2.names import DatasetPath
from caterva2.runtime.uncancellable import in_thread
from caterva2.special.directory import os_errors
from caterva2.special.incoming import Sink, Staged


def base_name(name: str) -> str:
    """Return a client's name of a file without directories."""
    return name.replace("\\", "/").rpartition("/")[2]


async def receive(
    upload: Upload,
    staged: Staged,
    path: DatasetPath,
    limits: SpecialLimits = DEFAULTS.special,
    at: int = 0,
) -> None:
    """Write an upload to a staged file while it arrives.

    What arrived before an error is flushed to the file too.

    Parameters
    ----------
    upload : Upload
    staged : Staged
    path : DatasetPath
    limits : SpecialLimits
    at : int
        Bytes that the file has already.

    Raises
    ------
    QuotaExceeded
    DeadlineExceeded
        If no data arrives for UPLOAD_STALLED seconds.
    """
    with os_errors(path):
        sink = await in_thread(functools.partial(staged.open, at=at))
        try:
            await _pour(upload, sink, limits)
        finally:
            sink.close()


async def _pour(upload: Upload, sink: Sink, limits: SpecialLimits) -> None:
    buffer = bytearray()
    try:
        while (piece := await _next(upload, limits.upload_stalled)) is not None:
            buffer += piece
            if len(buffer) >= limits.upload_piece:
                full, buffer = buffer, bytearray()
                await in_thread(functools.partial(sink.write, full))
    finally:
        try:
            if buffer:
                await in_thread(functools.partial(sink.write, buffer))
        finally:
            await in_thread(sink.finish)


async def _next(upload: Upload, seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(seconds):
            return await anext(upload.pieces, None)
    except TimeoutError:
        raise DeadlineExceeded(f"no data arrived for UPLOAD_STALLED, {seconds:g} s") from None
