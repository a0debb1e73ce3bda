"""Grants: a token reads what it names, as its user, by the policy of the moment, for a while."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from caterva2.accounts.grants import Grants
from caterva2.errors import LoginNeeded, NotAllowed
from caterva2.model import User
from caterva2.web.middleware.granted import GrantedReads

ANN = User("ann@example.com", "1" * 32, False)
PATHS = ("foo/a.b2nd", "@personal/dir/b.b2nd")


def test_token_ends_with_its_context_or_its_time() -> None:
    now = [0.0]
    grants = Grants(lambda: now[0])
    with grants.issue(ANN, PATHS, 10) as token, grants.issue(None, (), 10) as other:
        assert token != other
        assert grants.find(token).user == ANN
        grants.find(token).check("foo/a.b2nd")
        with pytest.raises(NotAllowed, match="other datasets"):
            grants.find(token).check("foo/b.b2nd")
        now[0] = 10.0
        for wrong in (token, "nonsense", "x" * 10_000):
            with pytest.raises(LoginNeeded, match="not valid any more"):
                grants.find(wrong)
    assert len(grants) == 0


def test_grants_of_a_deleted_user_end() -> None:
    grants = Grants()
    with grants.issue(ANN, PATHS, 10) as token, grants.issue(None, PATHS, 10) as other:
        asyncio.run(grants.forget(ANN))
        with pytest.raises(LoginNeeded):
            grants.find(token)
        assert grants.find(other).user is None


def request(grants: Grants, method: str, path: str, token: str = "", scheme: str = "Bearer") -> Any:
    """Return the status of an answer; without one, the user for whom it is passed on."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen["passed"] = scope["state"]["user"]

    async def send(message: Any) -> None:
        seen.setdefault("status", message.get("status"))

    service = SimpleNamespace(answered=lambda error: None)
    readers = SimpleNamespace(for_user=lambda user: service)
    served = SimpleNamespace(state=SimpleNamespace(web=SimpleNamespace(readers=readers)))
    headers = [(b"authorization", f"{scheme} {token}".encode())] if token else []
    scope = {
        "type": "http", "method": method, "path": path, "headers": headers,
        "query_string": b"", "state": {"user": "of the session"}, "app": served,
    }  # fmt: skip
    asyncio.run(GrantedReads(app, grants)(scope, None, send))  # type: ignore[arg-type]
    return seen.get("status", seen.get("passed"))


def test_token_is_for_values_of_its_datasets_only() -> None:
    grants = Grants()
    with grants.issue(ANN, PATHS, 10) as token:
        for path in PATHS:
            assert request(grants, "GET", f"/api/fetch/{path}", token) == ANN
            assert request(grants, "GET", f"/api/chunk/{path}", token) == ANN
        for method, path in (
            ("POST", "/api/fetch/foo/a.b2nd"), ("DELETE", "/api/fetch/foo/a.b2nd"),
            ("GET", "/api/fetch/foo/other.b2nd"), ("GET", "/api/info/foo/a.b2nd"),
            ("GET", "/api/roots"), ("POST", "/api/compute"), ("GET", "/api/listusers/"),
            ("GET", "/api/download/foo/a.b2nd"), ("GET", "/zarr/foo/a/zarr.json"),
        ):  # fmt: skip
            assert request(grants, method, path, token) == 403
        assert request(grants, "GET", "/api/fetch/foo/../foo/a.b2nd", token) == 400
        for scheme in ("bearer", "BEARER", "Bearer "):
            assert request(grants, "GET", f"/api/fetch/{PATHS[0]}", token, scheme) == ANN
        assert request(grants, "GET", f"/api/fetch/{PATHS[0]}", token, "Basic") == "of the session"
    assert request(grants, "GET", f"/api/fetch/{PATHS[0]}", " ") == 401
    assert request(grants, "GET", f"/api/fetch/{PATHS[0]}", token) == 401
    assert request(grants, "GET", f"/api/fetch/{PATHS[0]}") == "of the session"
