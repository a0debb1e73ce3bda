"""The part of the OpenAPI document about what users change in the special roots."""

from __future__ import annotations

from typing import Final

from caterva2.model import JSON
from caterva2.web.openapi.document import answer, does
from caterva2.web.openapi.schemas import array, ref, text, whole

_FILE: Final[JSON] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}},
                "required": ["file"],
            }
        }
    },
}
_PLACES: Final[JSON] = {
    "required": True,
    "content": {"application/json": {"schema": ref("Places")}},
}
_EXPRESSION: Final[JSON] = {
    "required": True,
    "content": {"application/json": {"schema": ref("NewExpression")}},
}
_FAILS = (400, 401, 403, 404, 409, 413, 422, 429, 503, 504, 507)
_WHERE = {200: answer("where it is now", text())}

PATHS: Final[JSON] = {
    "/api/upload/{path}": {
        "post": does(
            "Put a file, or with `unpack` a directory out of an archive, into a special root",
            _WHERE, _FAILS, ("path", "unpack"), _FILE,
        ),
    },
    "/api/append/{path}": {
        "post": does(
            "Let an array in a special root grow by another one, a frame",
            {200: answer("its shape now", array(whole()))}, (*_FAILS, 502), ("path",), _FILE,
        ),
    },
    "/api/remove/{path}": {
        "post": does(
            "Remove a file, or a directory with all that is in it, from a special root",
            {200: answer("what was removed", text())},
            (400, 401, 403, 404, 429, 503, 504), ("path",),
        ),
    },
    "/api/move/": {
        "post": does(
            "Move a file or directory within or between special roots",
            _WHERE, _FAILS, (), _PLACES,
        ),
    },
    "/api/lazyexpr/": {
        "post": does(
            "Make a dataset that is computed of others whenever it is read",
            {200: answer("where it is", text())}, (*_FAILS, 502), (), _EXPRESSION,
        ),
    },
    "/api/copy/": {
        "post": does(
            "Copy a file, a directory or a root of any kind into a special root",
            _WHERE, (*_FAILS, 502), (), _PLACES,
        ),
    },
}  # fmt: skip
