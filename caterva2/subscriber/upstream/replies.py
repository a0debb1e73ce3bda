"""The replies in the body of an answer, taken apart while it arrives, within bounds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from caterva2.subscriber.upstream.session import Lost
from caterva2.wire import codec, exchange
from caterva2.wire.messages import DataReply


class Body:
    """The bytes of a body, of which as many are read as are asked for.

    Parameters
    ----------
    pieces : async iterator of bytes
    """

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    async def take(self, count: int) -> memoryview:
        """Return the next bytes.

        Raises
        ------
        Lost
            If the body ends before.
        """
        if count <= len(self._rest):
            return self._cut(count)
        found = bytearray(self._rest)
        self._rest = memoryview(b"")
        while len(found) < count:
            if not await self._more():
                raise Lost("the upstream's answer ended too early")
            found += self._cut(min(count - len(found), len(self._rest)))
        return memoryview(found)

    async def ended(self) -> bool:
        """Return whether nothing follows."""
        return not len(self._rest) and not await self._more()

    def _cut(self, count: int) -> memoryview:
        found, self._rest = self._rest[:count], self._rest[count:]
        return found

    async def _more(self) -> bool:
        async for piece in self._pieces:
            if piece:
                self._rest = memoryview(piece)
                return True
        return False


async def replies(
    pieces: AsyncIterator[bytes], most: Callable[[], int]
) -> AsyncGenerator[tuple[DataReply, memoryview]]:
    """Yield the replies in a body, each with its payload.

    Parameters
    ----------
    pieces : async iterator of bytes
    most : callable
        Gives the bytes of payload that may still come.

    Raises
    ------
    BadMessage
        If one can't be decoded, or announces more than that.
    Lost
        If the body ends within one.
    """
    body = Body(pieces)
    while not await body.ended():
        start = await body.take(exchange.LENGTHS.size)
        length, size = exchange.lengths(start, most())
        header = await body.take(length)
        yield codec.data_replies((codec.MAGIC, header)), await body.take(size)
