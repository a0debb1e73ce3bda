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
from caterva2.special.incoming import Staged


def base_name(upload: Upload) -> str:
    """Return the client's name of the file, without directories."""
    return upload.name.replace("\\", "/").rpartition("/")[2]


async def receive(
    upload: Upload, staged: Staged, path: DatasetPath, limits: SpecialLimits = DEFAULTS.special
) -> None:
    """Write an upload to a staged file while it arrives.

    Raises
    ------
    QuotaExceeded
    DeadlineExceeded
        If no data arrives for UPLOAD_STALLED seconds.
    """
    with os_errors(path):
        sink = await in_thread(staged.open)
        try:
            buffer, more = bytearray(), True
            while more:
                piece = await _next(upload, limits.upload_stalled)
                buffer += piece or b""
                more = piece is not None
                if len(buffer) >= limits.upload_piece or (buffer and not more):
                    full, buffer = buffer, bytearray()
                    await in_thread(functools.partial(sink.write, full))
            await in_thread(sink.finish)
        finally:
            sink.close()


async def _next(upload: Upload, seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(seconds):
            return await anext(upload.pieces, None)
    except TimeoutError:
        raise DeadlineExceeded(f"no data arrived for UPLOAD_STALLED, {seconds:g} s") from None
