"""The REST interface: logging in and out, and accounts. It is not there where login is off."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from caterva2.accounts.accounts import Accounts
from caterva2.accounts.store import NoSuchUser, TooManyUsers, UserExists
from caterva2.errors import BadAccount, LoginNeeded
from caterva2.model import User
from caterva2.runtime.printable import printable
from caterva2.web import answers
from caterva2.web.api.data import only
from caterva2.web.middleware import sessions
from caterva2.web.params import forms

NAME_SHOWN = 80
"""Characters that are told back of a name that can't be one."""
ADDRESS = 64
"""Characters that count of an address."""


def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


def _address(request: Request) -> str:
    """Where a request comes from, as far as a proxy tells: it may tell anything."""
    return printable(request.client.host[:ADDRESS]) if request.client else "this machine"


def _superuser(request: Request) -> User:
    user = sessions.logged_in(request, "Administering users")
    if not user.superuser:
        raise LoginNeeded("Unauthorized: only superusers may")
    return user


def _shown(user: User) -> dict[str, Any]:
    return {
        "id": user.ident, "email": user.email, "is_active": True,
        "is_superuser": user.superuser, "is_verified": False,
    }  # fmt: skip


async def login(request: Request) -> Response:
    only(request)
    form = await forms.from_form(request, forms.Login)
    token = await _accounts(request).login(form.username, form.password, _address(request))
    return sessions.begin(request, token)


async def logout(request: Request) -> Response:
    only(request)
    sessions.logged_in(request, "Logging out")
    await _accounts(request).logout(request.state.token)
    return sessions.end(request)


async def register(request: Request) -> Response:
    only(request)
    form = await forms.from_json(request, forms.NewAccount)
    try:
        user = await _accounts(request).register(form.email, form.password, _address(request))
    except UserExists:
        raise UserExists("REGISTER_USER_ALREADY_EXISTS") from None
    return JSONResponse(_shown(user), 201)


async def password(request: Request) -> Response:
    only(request)
    user = sessions.logged_in(request, "Changing a password")
    form = await forms.from_json(request, forms.NewPassword)
    change = _accounts(request).change_password
    token = await change(user, form.password, form.new_password, _address(request))
    return sessions.begin(request, token)


async def adduser(request: Request) -> Response:
    only(request)
    _superuser(request)
    form = await forms.from_json(request, forms.AddedAccount)
    wrong = f"Error in adding {form.username[:NAME_SHOWN]}"
    if form.password is None:
        raise BadAccount(f"{wrong}: a password is needed")
    try:
        user = await _accounts(request).add(form.username, form.password, form.superuser)
    except UserExists:
        raise UserExists(f"{wrong}: UserAlreadyExists") from None
    except TooManyUsers:
        raise
    except BadAccount as error:
        raise BadAccount(f"{wrong}: {error}") from None
    return answers.json_answer(
        f"User added: username={str(user.email)!r} superuser={user.superuser}"
    )


async def deluser(request: Request) -> Response:
    """Delete a user. That GET does so too is for clients that know nothing else."""
    only(request)
    _superuser(request)
    name: str = request.path_params["username"]
    find_only = request.method == "HEAD"
    try:
        accounts = _accounts(request)
        user = await (accounts.find if find_only else accounts.delete)(name)
    except BadAccount:
        wrong = f"Error in deleting {name[:NAME_SHOWN]}: UserNotExists"
        raise NoSuchUser(wrong) from None
    return answers.json_answer(f"User deleted: {user.email}")


async def listusers(request: Request) -> Response:
    only(request, "username")
    sessions.logged_in(request, "Listing users")
    name = request.query_params.get("username")
    users = await _accounts(request).users()
    return answers.json_answer(
        [_shown(user) for user in users if name is None or user.email == name.lower()]
    )


def routes(registering: bool) -> list[Route]:
    """What there is where there are accounts; with ``registering``, for everybody to make one."""
    made = [
        Route("/auth/jwt/login", login, methods=["POST"]),
        Route("/auth/jwt/logout", logout, methods=["POST"]),
        Route("/api/password/", password, methods=["POST"]),
        Route("/api/adduser/", adduser, methods=["POST"]),
        Route("/api/deluser/{username:path}", deluser, methods=["GET", "DELETE"]),
        Route("/api/listusers/", listusers),
    ]
    if registering:
        made.append(Route("/auth/register", register, methods=["POST"]))
    return made
