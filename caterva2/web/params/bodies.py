"""Bodies of requests, read up to a limit."""

from __future__ import annotations

from starlette.requests import Request

from caterva2.errors import TooLarge


async def read(request: Request, limit: str, max_bytes: int) -> bytes:
    """Read a whole body; `TooLarge`, which names the limit, if it is longer."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise TooLarge(f"the body is larger than {limit}, {max_bytes}")
    return bytes(body)
