"""API tokens of users. These operations exist only where there are accounts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from caterva2.accounts.scopes import Scope, scope_of
from caterva2.accounts.token_table import ApiToken
from caterva2.accounts.tokens import Tokens
from caterva2.errors import NotAllowed
from caterva2.model import User
from caterva2.rest import paths
from caterva2.rest.accounts import NewToken, TokenInfo
from caterva2.web import answers
from caterva2.web.descriptions import timestamp
from caterva2.web.middleware import sessions
from caterva2.web.operation import Body, Operation, json_reply
from caterva2.web.params import forms
from caterva2.web.state import state_of


def _tokens(request: Request, doing: str) -> tuple[Tokens, User]:
    accounts, user = state_of(request).accounts, sessions.logged_in(request, doing)
    assert accounts is not None
    if not scope_of(user).manage:
        raise NotAllowed("this token may not administer tokens")
    return accounts.tokens, user


def _shown(token: ApiToken) -> TokenInfo:
    return {
        "id": token.token, "name": token.name, "roots": list(token.scope.roots),
        "write": token.scope.write, "manage": token.scope.manage,
        "created": timestamp(token.created), "expires": timestamp(token.expires),
        "used": None if token.used is None else timestamp(token.used),
    }  # fmt: skip


async def tokens(request: Request) -> Response:
    known, user = _tokens(request, "Listing tokens")
    shown = [_shown(token) for token in await known.of(user)]
    return answers.json_answer(shown, {"Cache-Control": "no-store"})


async def make(request: Request) -> Response:
    known, user = _tokens(request, "Making a token")
    form = await forms.from_json(request, NewToken)
    scope = Scope.of(form.roots, form.write, form.manage)
    secret, token = await known.make(user, form.name, scope, form.days)
    body: TokenInfo = {**_shown(token), "token": secret}
    return JSONResponse(body, 201, {"Cache-Control": "no-store"})


async def revoke(request: Request) -> Response:
    known, user = _tokens(request, "Revoking a token")
    name: str = request.path_params["item"]
    await known.revoke(user, name)
    return answers.json_answer("Ok")


_MADE = json_reply(TokenInfo, "the token, which is never shown again")

OPERATIONS = (
    Operation(
        "GET", paths.TOKENS, tokens, "List one's API tokens, the oldest first",
        {200: json_reply(list[TokenInfo], "those that have not expired")}, failures=(400, 401, 403),
    ),
    Operation(
        "POST", paths.TOKENS, make, "Make an API token", {201: _MADE},
        failures=(400, 401, 403, 413, 422, 503), body=Body(NewToken),
    ),
    Operation(
        "DELETE", paths.TOKEN, revoke, "Revoke an API token, and those made by it",
        {200: json_reply(str, "Ok")}, failures=(400, 401, 403, 404),
    ),
)  # fmt: skip
