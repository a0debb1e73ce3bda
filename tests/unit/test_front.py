"""Pages are loaded by their first request, or ahead of it, but by no other request"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from caterva2.pages import site
from caterva2.pages.front import Pages
from caterva2.web.state import WebState
from tests.conftest import eventually


class Loading:
    """In place of the modules of the pages: notes what is asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.error = error
        monkeypatch.setattr(site, "make_site", self._make)
        monkeypatch.setattr(site, "warm_up", lambda _: self.asked.append("templates"))

    def _make(self, _: WebState) -> Starlette:
        self.asked.append("site")
        if self.error is not None:
            raise self.error
        return Starlette(routes=[Route("/{_:path}", answer("a page"))])


def answer(text: str) -> Any:
    async def give(_: Request) -> PlainTextResponse:
        return PlainTextResponse(text)

    return give


async def get(pages: Pages, *paths: str, **headers: str) -> list[str]:
    middleware = [pages.front(cast("WebState", object()))]
    app = Starlette(routes=[Route("/{_:path}", answer("no page"))], middleware=middleware)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return [(await client.get(path, headers=headers)).text for path in paths]


def test_requests_of_programs_load_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = Loading(monkeypatch)
    found = asyncio.run(get(Pages(), "/", "/api/roots", "/rootsy", accept="*/*"))
    assert found == ["no page"] * 3
    assert loading.asked == []


def test_the_first_request_for_a_page_loads_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = Loading(monkeypatch)
    found = asyncio.run(get(Pages(), "/", "/roots/a", accept="text/html"))
    assert found == ["a page"] * 2
    assert loading.asked == ["site"]


def test_pages_are_loaded_ahead_of_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = Loading(monkeypatch)

    async def wait() -> list[str]:
        pages = Pages(ahead=0)
        pages.front(cast("WebState", object()))
        async with pages.loading():
            ready = ["site", "templates"]
            await asyncio.to_thread(eventually, lambda: loading.asked == ready)
        return await get(pages, "/about")

    assert asyncio.run(wait()) == ["a page"]
    assert loading.asked == ["site", "templates"]


def test_an_end_before_that_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = Loading(monkeypatch)

    async def end() -> set[str]:
        async with Pages().loading():
            await asyncio.sleep(0)
        return {task.get_name() for task in asyncio.all_tasks()}

    assert "pages" not in asyncio.run(end())
    assert loading.asked == []


def test_pages_that_could_not_be_loaded_are_loaded_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loading = Loading(monkeypatch, RuntimeError("a disk is slow"))

    async def wait() -> list[str]:
        pages = Pages(ahead=0)
        pages.front(cast("WebState", object()))
        async with pages.loading():
            failure = "the pages can't be loaded"
            await asyncio.to_thread(eventually, lambda: failure in caplog.text)
        loading.error = None
        return await get(pages, "/about")

    assert asyncio.run(wait()) == ["a page"]
    assert loading.asked == ["site", "site"]
