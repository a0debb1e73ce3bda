"""A request is worked on while its client waits, and not for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from caterva2 import limits
from caterva2.errors import DeadlineExceeded
from caterva2.web import disconnect

SCOPE: dict[str, Any] = {
    "type": "http", "method": "GET", "path": "/api/fetch/foo/a", "headers": [],
    "query_string": b"", "server": ("h", 1), "scheme": "http",
}  # fmt: skip


def _run(gone: bool) -> None:
    """Wait for work that ends only when it is cancelled."""
    cancelled = []

    async def receive() -> Any:
        if gone:
            return {"type": "http.disconnect"}
        return await asyncio.Event().wait()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async def main() -> None:
        await disconnect.until_disconnected(Request(SCOPE, receive), work())

    try:
        asyncio.run(main())
    finally:
        assert cancelled


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnect, "GONE_CHECK_S", 0.01)


def test_work_ends_when_the_client_went_away() -> None:
    with pytest.raises(HTTPException, match="went away"):
        _run(gone=True)


def test_work_ends_at_the_deadline_which_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_DEADLINE", 0.05)
    with pytest.raises(DeadlineExceeded, match=r"/api/fetch/foo/a .* ANSWER_DEADLINE, 0.05 s"):
        _run(gone=False)
