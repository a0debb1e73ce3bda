"""The part of the OpenAPI document that is there where there are accounts."""

from __future__ import annotations

from caterva2.model import JSON
from caterva2.web.openapi.document import answer, does
from caterva2.web.openapi.schemas import array, ref, text

_COOKIE = {
    "description": "the cookie c2subauth, to be sent with further requests",
    "headers": {"Set-Cookie": {"schema": text()}},
}
_DELETED = {200: answer("the user and what belonged to the user are gone", text())}


def _json(name: str) -> JSON:
    return {"required": True, "content": {"application/json": {"schema": ref(name)}}}


def paths(registering: bool) -> JSON:
    """The paths by which people log in and users are administered."""
    form = {"application/x-www-form-urlencoded": {"schema": ref("Login")}}
    made: JSON = {
        "/auth/jwt/login": {
            "post": does(
                "Log in", {204: _COOKIE}, (400, 403, 413, 422, 429, 503), (),
                {"required": True, "content": form},
            ),
        },
        "/auth/jwt/logout": {
            "post": does("Log out", {204: _COOKIE}, (400, 401, 403)),
        },
        "/api/password/": {
            "post": does(
                "Change one's password; all sessions end but for a new one", {204: _COOKIE},
                (400, 401, 403, 413, 422, 429, 503), (), _json("NewPassword"),
            ),
        },
        "/api/adduser/": {
            "post": does(
                "Add a user", {200: answer("the user was added", text())},
                (400, 401, 403, 413, 422, 503), (), _json("AddedAccount"),
            ),
        },
        "/api/deluser/{username}": {
            "delete": does("Delete a user", _DELETED, (400, 401, 403, 404), ("username",)),
            "get": does(
                "The same, for clients that know nothing else", _DELETED, (400, 401, 403, 404),
                ("username",),
            ),
        },
        "/api/listusers/": {
            "get": does(
                "The users", {200: answer("by their addresses", array(ref("User")))},
                (400, 401), ("only_username",),
            ),
        },
    }  # fmt: skip
    if registering:
        made["/auth/register"] = {
            "post": does(
                "Make an account for oneself", {201: answer("the account", ref("User"))},
                (400, 403, 413, 422, 429, 503), (), _json("NewAccount"),
            ),
        }  # fmt: skip
    return made
