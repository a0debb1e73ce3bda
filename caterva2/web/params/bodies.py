"""Bodies of requests, which are as large as somebody likes."""

from __future__ import annotations

from starlette.requests import Request

from caterva2.errors import TooLarge


async def read(request: Request, most: int, limit: str) -> bytes:
    """All of a body; `TooLarge`, which names the limit, if it is more than that."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise TooLarge(f"the body is larger than {limit}, {most}")
    return bytes(body)
