"""Contract of the web application with a subscriber from which others take their roots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from caterva2.names import RootName


class Exchanges(Protocol):
    """Requests of the wire protocol, answered in the format of `caterva2.wire.exchange`."""

    def hellos(self) -> AsyncIterator[bytes]:
        """Yield a reply to a hello for each root."""
        ...

    async def exchange(self, root: RootName, request: bytes, share: str) -> AsyncIterator[bytes]:
        """Begin to answer a request about a root; empty bytes are a hello.

        ``share`` is what the answer counts against where there is no user. `BadRequest` if it is no
        request; later errors are replies.
        """
        ...
