"""Bodies of requests, read up to a limit, or while they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from caterva2.errors import TooLarge


async def read(request: Request, limit: str, max_bytes: int) -> bytes:
    """Read a whole body; `TooLarge`, which names the limit, if it is longer."""
    body = bytearray()
    async for piece in pieces(request):
        body += piece
        if len(body) > max_bytes:
            raise TooLarge(f"the body is larger than {limit}, {max_bytes}")
    return bytes(body)


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield a body while it arrives; 499 if the client disconnects before its end."""
    try:
        async for data in request.stream():
            if data:
                yield data
    except ClientDisconnect:
        raise HTTPException(499, "the client disconnected") from None
