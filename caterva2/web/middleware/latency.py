"""How long answers take to begin, for metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caterva2.runtime.metrics import Histogram, Metrics

REQUESTS = Histogram(
    "caterva2_request_seconds",
    "Time from the head of a request to that of its answer",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_METHODS = frozenset(("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"))
_OTHER = "other"


class Latency:
    """Observe the time until an answer begins, by call and status; bodies may be endless.

    Parameters
    ----------
    app : ASGIApp
    paths : iterable of str
        Those that are served, each with a call at its beginning.
    metrics : Metrics
    """

    def __init__(self, app: ASGIApp, paths: Iterable[str], metrics: Metrics) -> None:
        self._app = app
        self._calls = frozenset(_call(path.partition("{")[0].rstrip("/")) for path in paths)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        begun = False

        def observe(status: int) -> None:
            call = _call(scope["path"])
            one = call[: call.find("/", 1)]  # a call whose name has one part, such as /zarr
            known = next((name for name in (call, one) if name in self._calls), _OTHER)
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            self._metrics.observe(REQUESTS, seconds, call=known, method=method, status=str(status))

        async def noted(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                observe(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            if not begun:
                observe(500)  # it is answered outside of all middleware
            raise


def _call(path: str) -> str:
    """Return the first two parts of a path, such as ``/api/fetch``."""
    return "/".join(path.split("/", 3)[:3])
