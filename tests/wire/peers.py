"""A peer of a requester, and how it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

from wiretools import LIMIT, Handler, Router

from caterva2.errors import (
    BadMessage,
    CatervaError,
)
from caterva2.limits import DEFAULTS, WireLimits
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.calls import Call
from caterva2.wire.requester import Requester

QUICK = replace(DEFAULTS.wire, backoff=0.005)
"""Short pauses before retries."""
Answer = Callable[[Any], m.Reply | None]


def answering(answer: Answer) -> Handler:
    """A handler that decodes requests and encodes what a function makes of them."""

    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        try:
            reply = answer(codec.control_requests(frames))
        except BadMessage:
            reply = None  # a cancel, which a broker does not know
        return [] if reply is None else [[bytes(frame) for frame in codec.encode(reply)]]

    return handle


def pong(request: Any) -> m.Reply:
    return m.Pong(id=request.id, binst="b")


def refusal(request: Any, error: CatervaError) -> m.Reply:
    return codec.error_message(request.id, error)


class Peer:
    """A requester and the router that it talks to, ended together."""

    def __init__(
        self,
        context: sockets.Context,
        handler: Handler,
        endpoint: str = "",
        limits: WireLimits = QUICK,
    ) -> None:
        self.router = Router(context, handler)
        self.requester: Requester[Any] = Requester(
            context, endpoint or self.router.endpoint, codec.control_replies, "requester",
            limits=limits,
        )  # fmt: skip

    def ask(self, request: m.Request, timeout: float = LIMIT) -> Any:
        return asyncio.run(self.requester.ask(request, timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.requester.close()
        self.router.close()


class Watched(Call[Any]):
    """A call that remembers what it was told."""

    def __init__(self, timeout: float = LIMIT, replies: int = 1) -> None:
        self.deadline = time.monotonic() + timeout
        self.ids: list[int] = []
        self.replies: list[Any] = []
        self.errors: list[CatervaError] = []
        self._wanted = replies

    def message(self, request_id: int) -> m.Request:
        self.ids.append(request_id)
        return m.Ping(id=request_id)

    def on_reply(self, reply: Any, payload: Sequence[memoryview]) -> bool:
        self.replies.append(reply)
        return len(self.replies) >= self._wanted

    def on_error(self, error: CatervaError) -> None:
        self.errors.append(error)
