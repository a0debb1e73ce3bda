"""Log in, log out, and make an account."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from caterva2.accounts.accounts import Accounts
from caterva2.errors import CatervaError
from caterva2.limits import constants
from caterva2.pages import failures, forms, rendering
from caterva2.web.middleware import sessions
from caterva2.web.state import state_of, user_of


def accounts_of(request: Request) -> Accounts:
    """Return the accounts; a subscriber without any has no such page."""
    accounts = state_of(request).accounts
    if accounts is None:
        raise HTTPException(404, "this server has no accounts: all of it can be read by everybody")
    return accounts


def begun(request: Request, token: str, place: str) -> Response:
    """Lead to a page with the cookie of a new session."""
    return _with_cookie(sessions.begin(request, token), place)


def _with_cookie(given: Response, place: str) -> Response:
    answer = RedirectResponse(forms.own(place), 303)
    answer.headers["Set-Cookie"] = given.headers["set-cookie"]
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def login_form(
    request: Request, name: str, following: str, error: CatervaError | None
) -> Response:
    """Answer with the form to log in, or to make an account."""
    oidc = accounts_of(request).oidc
    provider = oidc.label if oidc is not None else ""
    shown = {
        "provider": provider,
        "name": name,
        "following": following,
        "least": constants.PASSWORD_LEAST,
        "error": error and failures.sentence(error),
    }
    status = error.status if error else 200
    page = "register" if request.url.path == "/register" else "login"
    return await rendering.page(request, f"accounts/{page}.html", status, **shown)


async def login_page(request: Request) -> Response:
    """Answer with the form to log in."""
    accounts_of(request)
    following = forms.own(request.query_params.get("next", "/"))
    if user_of(request) is not None:
        return RedirectResponse(following, 303)
    return await login_form(request, "", following, None)


async def login(request: Request) -> Response:
    """Log in, and go on to the page that asked for it."""
    given = await forms.fields(request)
    name, word = given.get("username", ""), given.get("password", "")
    following = forms.own(given.get("next", "/"))
    try:
        token = await accounts_of(request).login(name, word, sessions.address_of(request))
    except CatervaError as error:
        return await login_form(request, name, following, error)
    return begun(request, token, following)


async def logout(request: Request) -> Response:
    """Log out; a session that has ended already is no error."""
    if user_of(request) is not None:
        sessions.in_session(request, "Logging out")
        await accounts_of(request).logout(request.state.token)
    return _with_cookie(sessions.end(request), "/")


async def register_page(request: Request) -> Response:
    """Answer with the form to make an account."""
    _registering(request)
    return await login_form(request, "", "/", None)


async def register(request: Request) -> Response:
    """Make an account, and log in."""
    accounts, given = _registering(request), await forms.fields(request)
    name, word = given.get("username", ""), given.get("password", "")
    try:
        await accounts.register(name, word, sessions.address_of(request))
        token = await accounts.login(name, word, sessions.address_of(request))
    except CatervaError as error:
        return await login_form(request, name, "/", error)
    return begun(request, token, "/")


def _registering(request: Request) -> Accounts:
    accounts = accounts_of(request)
    if not accounts.registering:
        raise HTTPException(404, "accounts are made by those who run this server")
    return accounts


ROUTES = (
    Route("/login", login_page),
    forms.form("/login", login),
    forms.form("/logout", logout),
    Route("/register", register_page),
    forms.form("/register", register),
)
