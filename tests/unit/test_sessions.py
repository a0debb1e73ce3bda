"""The user of a request is found by its cookie."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from caterva2.errors import Busy
from caterva2.model import User
from caterva2.web.middleware import sessions
from caterva2.web.middleware.sessions import SecurityHeaders, Sessions

ANN = User("1", "ann@example.com", False)


class _Accounts:
    """Accounts with one token."""

    def __init__(self, failing: bool = False) -> None:
        self.asked: list[str] = []
        self.on_change: list[Any] = []
        self._failing = failing

    async def user_of(self, token: str) -> User | None:
        self.asked.append(token)
        if self._failing:
            raise Busy("the accounts can't be used now", after_ms=2000)
        return ANN if token == "right" else None


async def _who(request: Request) -> Response:
    user = sessions.user_of(request)
    return JSONResponse(user.email if user else None, headers={"Vary": "Accept"})


def _ask(accounts: Any, **headers: str) -> httpx.Response:
    app = Starlette(
        routes=[Route("/", _who)],
        middleware=[Middleware(SecurityHeaders), Middleware(Sessions, accounts)],
    )
    app.state.web = Mock()  # its readers are given errors, to count them

    async def inside() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/", headers=headers)

    return asyncio.run(inside())


@pytest.mark.parametrize(
    ("cookie", "who"),
    [
        ("c2subauth=right", ANN.email),
        ("a=b; c2subauth=right; c=d", ANN.email),
        ('c2subauth="right"', ANN.email),
        ("c2subauth=wrong", None),
        ("c2subauth=", None),
        ("xc2subauth=right", None),
        ("c2subauthx=right", None),
        ("a=c2subauth=right", None),
        ("c2subauth", None),
        (f"c2subauth=right; a={'b' * 20_000}", None),
    ],
)
def test_user_is_found_by_the_cookie(cookie: str, who: str | None) -> None:
    assert _ask(_Accounts(), cookie=cookie).json() == who


def test_request_without_a_cookie_reads_no_account() -> None:
    accounts = _Accounts()
    assert _ask(accounts).json() is None
    assert not accounts.asked


def test_accounts_that_can_not_be_read_are_reported_as_busy() -> None:
    answer = _ask(_Accounts(failing=True), cookie="c2subauth=right")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["detail"] == "the accounts can't be used now"
    assert "x-frame-options" in answer.headers


def test_vary_of_an_answer_is_kept() -> None:
    assert _ask(_Accounts()).headers.get_list("vary") == ["Accept", "Cookie, Authorization"]
