"""The page of one's own account, and that of all accounts for superusers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.errors import BadAccount, CatervaError
from caterva2.pages import failures, forms, rendering
from caterva2.pages.accounts.session import accounts_of, begun
from caterva2.web.middleware import sessions
from caterva2.web.state import reader_of


async def account_page(request: Request) -> Response:
    """Answer with the user's account."""
    return await account(request)


async def account(request: Request, error: CatervaError | None = None, made: str = "") -> Response:
    """Show the user's account, with what went wrong, or with a token that was made."""
    accounts = accounts_of(request)
    user = sessions.in_session(request, "An account")
    return await rendering.page(
        request, "accounts/account.html", error.status if error else 200,
        quota=reader_of(request).quota(), done="done" in request.query_params,
        error=error and failures.sentence(error), made=made,
        tokens=await accounts.tokens.of(user),
    )  # fmt: skip


async def password(request: Request) -> Response:
    """Change the user's password; all other sessions end."""
    accounts, given = accounts_of(request), await forms.fields(request)
    user = sessions.in_session(request, "Changing a password")
    old, new = given.get("password", ""), given.get("new_password", "")
    try:
        token = await accounts.change_password(user, old, new, sessions.address_of(request))
    except CatervaError as error:
        return await account(request, error)
    return begun(request, token, "/account?done=1")


async def users_page(request: Request) -> Response:
    """Answer with all accounts."""
    return await _users(request, None)


async def _users(request: Request, error: CatervaError | None) -> Response:
    sessions.superuser(request)
    return await rendering.page(
        request, "accounts/users.html", error.status if error else 200,
        users=await accounts_of(request).users(), error=error,
    )  # fmt: skip


async def add(request: Request) -> Response:
    """Add an account."""
    accounts = accounts_of(request)
    sessions.superuser(request)
    given = await forms.fields(request)
    superuser = given.get("superuser") == "1"
    if superuser:
        sessions.in_session(request, "Adding a superuser")
    try:
        name, word = given.get("username", ""), given.get("password", "")
        await accounts.add(name, word, superuser)
    except CatervaError as error:
        return await _users(request, error)
    return forms.see("/users")


async def enable(request: Request) -> Response:
    """Disable an account, or enable it again."""
    accounts, given = accounts_of(request), await forms.fields(request)
    administrator = sessions.superuser(request)
    name, active = given.get("username", ""), given.get("active") == "1"
    try:
        if name.lower() == administrator.email:
            raise BadAccount("the own account can't be disabled")
        await accounts.enable(name, active)
    except CatervaError as error:
        return await _users(request, error)
    return forms.see("/users")


async def delete(request: Request) -> Response:
    """Delete an account with all files of its user."""
    accounts = accounts_of(request)
    sessions.superuser(request)
    try:
        await accounts.delete((await forms.fields(request)).get("username", ""))
    except CatervaError as error:
        return await _users(request, error)
    return forms.see("/users")


ROUTES = (
    Route("/account", account_page),
    forms.form("/account", password),
    Route("/users", users_page),
    forms.form("/users", add),
    forms.form("/users/delete", delete),
    forms.form("/users/enable", enable),
)
