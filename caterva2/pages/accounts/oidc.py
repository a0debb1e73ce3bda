"""Log in at an OpenID Connect provider, by its code flow with state, nonce and PKCE."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from caterva2.accounts import oidc
from caterva2.accounts.accounts import Accounts
from caterva2.accounts.oidc import OidcOptions
from caterva2.errors import BadCredentials, Busy, CatervaError
from caterva2.pages import forms
from caterva2.pages.accounts.session import accounts_of, begun, login_form
from caterva2.web.middleware import sessions

log = logging.getLogger(__name__)
_COOKIE, _COOKIE_S = "c2oidc", 600
"""Holds state, nonce and verifier of a login that is under way, signed."""
_TIMEOUT_S = 10.0
_ADDRESS = 254
_BACK = "/login/oidc/callback"


class _Endpoint:
    """A handler whose request has a signed session of its own, as Authlib needs it."""

    def __init__(self, handler: Callable[[Request, OidcOptions], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accounts = accounts_of(Request(scope))
        options = accounts.oidc
        if options is None:
            raise HTTPException(404, "this server has no OpenID Connect")
        from starlette.middleware.sessions import SessionMiddleware  # needs itsdangerous

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            answer = await self._handler(Request(scope, receive), options)
            await answer(scope, receive, send)

        signed = SessionMiddleware(
            inner, accounts.derived("oidc"), _COOKIE, _COOKIE_S, "/login/oidc", "lax",
            https_only=scope["scheme"] == "https",
        )  # fmt: skip
        await signed(scope, receive, send)


async def _provider(options: OidcOptions) -> Any:
    """Return Authlib's client of the provider; it is loaded with the first login."""

    def load() -> Any:
        from authlib.integrations.starlette_client import OAuth

        return OAuth()

    registry = await asyncio.to_thread(load)
    return registry.register(
        "provider",
        client_id=options.client_id,
        client_secret=options.secret or None,
        server_metadata_url=f"{options.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": options.scope, "code_challenge_method": "S256", "timeout": _TIMEOUT_S
        },
    )  # fmt: skip


async def begin(request: Request, options: OidcOptions) -> Response:
    """Lead to the provider."""
    request.session["next"] = forms.own(request.query_params.get("next", "/"))
    back = str(request.base_url).rstrip("/") + _BACK
    try:
        provider = await _provider(options)
        answer: Response = await provider.authorize_redirect(request, back)
    except Exception as error:  # noqa: BLE001 - of the libraries, the network and the provider
        return await _refused(request, error)
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def finish(request: Request, options: OidcOptions) -> Response:
    """Take what the provider says of the user, and begin a session."""
    following = forms.own(str(request.session.get("next", "/")))
    required = {
        "iss": {"essential": True, "value": options.issuer},
        "aud": {"essential": True, "value": options.client_id},
    }
    try:
        provider = await _provider(options)
        token = await provider.authorize_access_token(request, claims_options=required)
        claims = token.get("userinfo") or {}
        name, groups = _address(claims), oidc.groups(claims, options.groups_claim)
    except CatervaError as error:
        return await login_form(request, "", following, error)
    except Exception as error:  # noqa: BLE001
        return await _refused(request, error)
    finally:
        request.session.clear()
    accounts: Accounts = accounts_of(request)
    try:
        session = await accounts.login_verified(name, sessions.address_of(request), groups)
    except CatervaError as error:
        return await login_form(request, name, following, error)
    return begun(request, session, following)


def _address(claims: dict[str, Any]) -> str:
    """Return the address of a user; `BadCredentials` unless the provider has verified it."""
    name = claims.get("email")
    if (
        not isinstance(name, str)
        or len(name) > _ADDRESS
        or claims.get("email_verified") is not True
    ):
        raise BadCredentials("the provider names no address that it has verified")
    return name


async def _refused(request: Request, error: Exception) -> Response:
    """Answer with the form to log in; the log says what was wrong, without codes and tokens."""
    kind = getattr(error, "error", "") or type(error).__name__
    log.warning("a login by OpenID Connect failed: %s", kind)
    failed = Busy("the login at the provider failed: try again", after_ms=1000)
    return await login_form(request, "", "/", failed)


ROUTES = (
    Route("/login/oidc", _Endpoint(begin)),
    Route(_BACK, _Endpoint(finish)),
)
