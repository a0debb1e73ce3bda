"""A file that somebody sends, written as it comes in."""

from __future__ import annotations

import asyncio
import functools

from caterva2 import limits
from caterva2.errors import DeadlineExceeded
from caterva2.model import Upload
from caterva2.names import DatasetPath
from caterva2.runtime.uncancellable import in_thread
from caterva2.special.directory import naming
from caterva2.special.incoming import Staged


def own_name(upload: Upload) -> str:
    """The name that a file has at its sender, without directories."""
    return upload.name.replace("\\", "/").rpartition("/")[2]


async def receive(upload: Upload, came: Staged, path: DatasetPath) -> None:
    """Write a file as it comes in."""
    with naming(path):
        sink = await in_thread(came.open)
        try:
            buffer, more = bytearray(), True
            while more:
                piece = await _next(upload)
                buffer += piece or b""
                more = piece is not None
                if len(buffer) >= limits.UPLOAD_PIECE or (buffer and not more):
                    full, buffer = buffer, bytearray()
                    await in_thread(functools.partial(sink.write, full))
            await in_thread(sink.finish)
        finally:
            sink.close()


async def _next(upload: Upload) -> bytes | None:
    try:
        async with asyncio.timeout(limits.STALLED):
            return await anext(upload.pieces, None)
    except TimeoutError:
        raise DeadlineExceeded(f"nothing came for STALLED, {limits.STALLED:g} s") from None
