"""A request is cancelled when its client disconnects or its deadline passes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from caterva2.errors import DeadlineExceeded
from caterva2.limits import DEFAULTS
from caterva2.web.app import make_app
from caterva2.web.disconnect import until_disconnected

SCOPE: dict[str, Any] = {
    "type": "http", "method": "GET", "path": "/api/fetch/foo/a", "headers": [],
    "query_string": b"", "server": ("h", 1), "scheme": "http",
}  # fmt: skip


def _run(gone: bool, deadline: float = 60.0) -> None:
    """Wait for work that ends only when it is cancelled."""
    cancelled = []
    web = replace(DEFAULTS.web, disconnect_check=0.01, answer_deadline=deadline)
    readers: Any = None
    app = make_app(readers, limits=replace(DEFAULTS, web=web))

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
        await until_disconnected(Request(SCOPE | {"app": app}, receive), work())

    try:
        asyncio.run(main())
    finally:
        assert cancelled


def test_work_ends_when_the_client_disconnects() -> None:
    with pytest.raises(HTTPException, match="disconnected"):
        _run(gone=True)


def test_work_ends_at_the_deadline_which_is_named() -> None:
    with pytest.raises(DeadlineExceeded, match=r"/api/fetch/foo/a .* ANSWER_DEADLINE, 0.05 s"):
        _run(gone=False, deadline=0.05)
