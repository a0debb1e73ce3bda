"""Reads with the token of a grant, by workers that compute for a user."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from caterva2.accounts.grants import Grants
from caterva2.errors import CatervaError, NotAllowed
from caterva2.limits.constants import TOKEN_PREFIX
from caterva2.names import full_name, parse_full
from caterva2.rest import paths
from caterva2.rest.session import BEARER
from caterva2.web import answers

_SCHEME = BEARER.strip().lower().encode()
_READ = (paths.prefix(paths.FETCH), paths.prefix(paths.CHUNK))


class GrantedReads:
    """Let requests with a token read what its grant names, as its user, and nothing else.

    Parameters
    ----------
    app : ASGIApp
    grants : Grants
    """

    def __init__(self, app: ASGIApp, grants: Grants) -> None:
        self._app = app
        self._grants = grants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = _token(scope) if scope["type"] == "http" else None
        if token is not None:
            try:
                grant = self._grants.find(token)
                grant.check(_read_by(scope))
            except CatervaError as error:
                refusal = await answers.on_caterva_error(Request(scope), error)
                await refusal(scope, receive, send)
                return
            state = scope.setdefault("state", {})
            state["user"], state["token"] = grant.user, ""
        await self._app(scope, receive, send)


def _token(scope: Scope) -> str | None:
    """Return the token of a request, None without one of a grant.

    Schemes are in any case (RFC 9110).
    """
    for name, value in scope["headers"]:
        scheme, _, token = value.partition(b" ")
        if name == b"authorization" and scheme.lower() == _SCHEME:
            found: str = token.strip(b" ").decode("latin-1")
            return None if found.startswith(TOKEN_PREFIX) else found  # of an account
    return None


def _read_by(scope: Scope) -> str:
    """Return the dataset that a request reads; `NotAllowed` if it does anything else."""
    path: str = scope["path"]
    for prefix in _READ:
        if scope["method"] == "GET" and path.startswith(prefix):
            return full_name(*parse_full(path.removeprefix(prefix)))
    raise NotAllowed("this token is for reading values of datasets only")
