"""Logins and accounts. These operations exist only where there are accounts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from caterva2.accounts.accounts import Accounts
from caterva2.accounts.scopes import scope_of
from caterva2.accounts.store import NoSuchUser, TooManyUsers, UserExists
from caterva2.errors import BadAccount
from caterva2.model import User
from caterva2.rest import media, paths
from caterva2.rest.accounts import (
    Account,
    AddedAccount,
    ChangedAccount,
    Login,
    NewAccount,
    NewPassword,
)
from caterva2.web import answers
from caterva2.web.middleware import sessions
from caterva2.web.operation import Body, Operation, Parameter, Reply, json_reply
from caterva2.web.params import forms
from caterva2.web.state import state_of

_NAME_SHOWN = 80
"""Characters of a malformed name that an error repeats."""


def _accounts(request: Request) -> Accounts:
    accounts = state_of(request).accounts
    assert accounts is not None
    return accounts


def _shown(user: User, active: bool = True) -> Account:
    return {
        "id": user.ident, "email": user.email, "is_active": active,
        "is_superuser": user.superuser, "is_verified": False,
    }  # fmt: skip


async def login(request: Request) -> Response:
    form = await forms.from_form(request, Login)
    address = sessions.address_of(request)
    token = await _accounts(request).login(form.username, form.password, address)
    return sessions.begin(request, token)


async def logout(request: Request) -> Response:
    sessions.in_session(request, "Logging out")
    await _accounts(request).logout(request.state.token)
    return sessions.end(request)


async def register(request: Request) -> Response:
    form = await forms.from_json(request, NewAccount)
    address = sessions.address_of(request)
    try:
        user = await _accounts(request).register(form.email, form.password, address)
    except UserExists:
        raise UserExists("REGISTER_USER_ALREADY_EXISTS") from None
    return JSONResponse(_shown(user), 201)


async def password(request: Request) -> Response:
    user = sessions.in_session(request, "Changing a password")
    form = await forms.from_json(request, NewPassword)
    change = _accounts(request).change_password
    token = await change(user, form.password, form.new_password, sessions.address_of(request))
    return sessions.begin(request, token)


async def adduser(request: Request) -> Response:
    sessions.superuser(request)
    form = await forms.from_json(request, AddedAccount)
    if form.superuser:
        sessions.in_session(request, "Adding a superuser")
    wrong = f"Error in adding {form.username[:_NAME_SHOWN]}"
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
    sessions.superuser(request)
    name: str = request.path_params["username"]
    try:
        accounts = _accounts(request)
        if request.method == "HEAD":
            user = (await accounts.find(name)).user
        else:
            user = await accounts.delete(name)
    except BadAccount:
        wrong = f"Error in deleting {name[:_NAME_SHOWN]}: UserNotExists"
        raise NoSuchUser(wrong) from None
    return answers.json_answer(f"User deleted: {user.email}")


async def listusers(request: Request) -> Response:
    user = sessions.logged_in(request, "Listing users")
    name = request.query_params.get("username")
    if user.superuser and scope_of(user).manage:
        shown = [_shown(one.user, one.active) for one in await _accounts(request).users()]
    else:  # others know of themselves only
        own = await _accounts(request).find(user.email)
        shown = [_shown(own.user, own.active)]
    return answers.json_answer(
        [one for one in shown if name is None or one["email"] == name.lower()]
    )


async def change(request: Request) -> Response:
    administrator = sessions.superuser(request)
    name: str = request.path_params["username"]
    form, accounts = await forms.from_json(request, ChangedAccount), _accounts(request)
    if form.password is not None:
        sessions.in_session(request, "Setting a password")
    if form.active is False and name.lower() == administrator.email:
        raise BadAccount("the own account can't be disabled")
    if form.password is not None:
        await accounts.set_password(name, form.password)
    if form.active is not None:
        await accounts.enable(name, form.active)
    changed = await accounts.find(name)
    return answers.json_answer(_shown(changed.user, changed.active))


_COOKIE = Reply("the cookie c2subauth, to be sent with further requests", {}, ("Set-Cookie",))
_DELETED = {200: json_reply(str, "the user and the user's files are deleted")}

OPERATIONS = (
    Operation(
        "POST", paths.LOGIN, login, "Log in", {204: _COOKIE},
        failures=(400, 403, 413, 422, 429, 503), body=Body(Login, media.FORM),
    ),
    Operation(
        "POST", paths.LOGOUT, logout, "Log out", {204: _COOKIE}, failures=(400, 401, 403)
    ),
    Operation(
        "POST", paths.CHANGE_PASSWORD, password,
        "Change the user's password, and end all other sessions", {204: _COOKIE},
        failures=(400, 401, 403, 413, 422, 429, 503), body=Body(NewPassword),
    ),
    Operation(
        "POST", paths.ADD_USER, adduser, "Add a user",
        {200: json_reply(str, "the user was added")},
        failures=(400, 401, 403, 413, 422, 503), body=Body(AddedAccount),
    ),
    Operation(
        "DELETE", paths.DELETE_USER, deluser, "Delete a user", _DELETED,
        failures=(400, 401, 403, 404),
    ),
    Operation(  # for clients that send GET; HEAD deletes nothing
        "GET", paths.DELETE_USER, deluser, "Delete a user, as DELETE does", _DELETED,
        failures=(400, 401, 403, 404),
    ),
    Operation(
        "POST", paths.USER, change, "Set a user's password, or disable or enable the account",
        {200: json_reply(Account, "the account as it is now")},
        failures=(400, 401, 403, 404, 413, 422, 503), body=Body(ChangedAccount),
    ),
    Operation(
        "GET", paths.LIST_USERS, listusers, "List all users, or for others than superusers oneself",
        {200: json_reply(list[Account], "by their addresses")}, failures=(400, 401),
        parameters=(Parameter("username", str, "list this user only"),),
    ),
)  # fmt: skip
REGISTER = Operation(
    "POST", paths.REGISTER, register, "Make an account for oneself",
    {201: json_reply(Account, "the account")},
    failures=(400, 403, 413, 422, 429, 503), body=Body(NewAccount),
)  # fmt: skip
"""Exists only where users may make accounts themselves."""
