"""API tokens on the page of one's own account."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from caterva2.accounts.scopes import Scope
from caterva2.errors import BadRequest, CatervaError
from caterva2.pages import forms
from caterva2.pages.accounts.session import accounts_of
from caterva2.pages.accounts.settings import account
from caterva2.web.middleware import sessions


async def make(request: Request) -> Response:
    """Make a token, and show it this one time."""
    accounts, given = accounts_of(request), await forms.fields(request)
    user = sessions.in_session(request, "Making a token")
    try:
        scope = Scope.of(given.get("roots", "").replace(",", " ").split() or ["*"],
                         given.get("write") == "1", manage=False)  # fmt: skip
        token, _ = await accounts.tokens.make(
            user, given.get("name", "").strip(), scope, _days(given.get("days", ""))
        )
    except CatervaError as error:
        return await account(request, error)
    shown = await account(request, made=token)
    shown.headers["Cache-Control"] = "no-store"
    return shown


def _days(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise BadRequest("days: write a number") from None


async def revoke(request: Request) -> Response:
    """Revoke a token."""
    accounts, given = accounts_of(request), await forms.fields(request)
    user = sessions.in_session(request, "Revoking a token")
    try:
        await accounts.tokens.revoke(user, given.get("id", ""))
    except CatervaError as error:
        return await account(request, error)
    return forms.see("/account#tokens")


ROUTES = (forms.form("/account/tokens", make), forms.form("/account/tokens/revoke", revoke))
