"""The nouns of the REST interface as JSON schemas."""

from __future__ import annotations

from typing import Final

from caterva2 import limits
from caterva2.model import JSON


def text(description: str = "", **more: object) -> JSON:
    """A string."""
    return {"type": "string"} | ({"description": description} if description else {}) | more


def whole(description: str = "", **more: object) -> JSON:
    """An integer that is not negative."""
    told = {"description": description} if description else {}
    return {"type": "integer", "minimum": 0} | told | more


def record(properties: JSON, *optional: str, **more: object) -> JSON:
    """An object with just these properties."""
    return {
        "type": "object", "properties": properties, "additionalProperties": False,
        "required": [name for name in properties if name not in optional],
    } | more  # fmt: skip


def form(properties: JSON, *optional: str) -> JSON:
    """An object with these properties, and any others that nobody looks at."""
    return record(properties, *optional, additionalProperties=True)


def array(items: JSON, **more: object) -> JSON:
    """A list."""
    return {"type": "array", "items": items} | more


def ref(name: str) -> JSON:
    """A schema of `SCHEMAS`, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


_TIME = text("ISO 8601, UTC", format="date-time")
_EMAIL = text("an address, as NAME@DOMAIN", maxLength=limits.EMAIL_LENGTH)
_PASSWORD = text(minLength=limits.PASSWORD_LEAST, maxLength=limits.PASSWORD_BYTES)
_SIZES = array(whole())
_OURS = {
    "kind": {"enum": ["array", "frame", "file"]},
    "etag": text("the version: it differs whenever the content does"),
    "cached": record({"nchunks": whole(), "cbytes": whole()}, description="what is here of it"),
    "accept_ranges": {"const": "bytes"},
}
_SCHUNK = {
    "cbytes": whole("stored bytes at the publisher"),
    "chunkshape": whole("items of a chunk"),
    "chunksize": whole("bytes of a chunk"),
    "contiguous": {"const": True},
    "cparams": {"type": "object", "description": "all but `filters, meta` are blosc2.CParams'"},
    "cratio": {"type": "number"},
    "nbytes": whole("decompressed bytes, padding counted"),
    "urlpath": {"type": "null"},
    "vlmeta": {"type": "object"},
    "nchunks": whole(),
    "blocksize": whole("bytes of a block"),
}
_ARRAY = {
    "shape": _SIZES, "chunks": _SIZES, "blocks": _SIZES, "dtype": text(),
    "schunk": ref("SChunk"), "mtime": _TIME,
}  # fmt: skip
_INDEX: Final[JSON] = {
    "anyOf": [
        {"type": "integer"},
        {"type": "null"},
        text('`"start:stop"` or `"start:stop:step"`'),
        array({}, description="integers, or lists of them: an index array"),
    ]
}

SCHEMAS: Final[JSON] = {
    "Error": record(
        {
            "detail": text("what was wrong, in a sentence"),
            "name": text("what was wrong, for programs"),
            "code": {"type": "integer", "description": "the wire protocol's number for it"},
            "retry": {"enum": ["no", "now", "later"]},
            "info": {"type": "object"},
        },
        "info",
    ),
    "Root": record(
        {
            "name": text(),
            "http": text("the publisher's HOST:PORT, empty when offline"),
            "subscribed": {"enum": [True, None]},
            "offline": {"const": True},
        },
        "offline",
    ),
    "SChunk": record(_SCHUNK | {"mtime": {"type": "null"}}),
    "Array": record(_ARRAY | _OURS, "cached"),
    "Computed": record(
        _ARRAY
        | _OURS
        | {
            "accept_ranges": {"const": "none"},
            "expression": text("what it is computed of"),
            "operands": {"type": "object", "additionalProperties": text("ROOT/PATH")},
        },
        "cached",
    ),
    "Bytes": record(_SCHUNK | {"mtime": _TIME} | _OURS, "cached"),
    "Group": record(
        {
            "kind": {"const": "group"},
            "name": text(),
            "nfiles": whole("datasets below it"),
            "size": whole("their stored bytes"),
            "mtime": _TIME,
        }
    ),
    "Members": record(
        {
            "members": {
                "type": "object",
                "additionalProperties": {
                    "anyOf": [
                        *map(ref, ("Array", "Bytes", "Computed")),
                        record({"error": ref("Error")}),
                    ]
                },
            },
            "after": {"type": ["string", "null"], "description": "asks for the next ones"},
        }
    ),
    "Slice": text(maxLength=limits.SELECTION_LENGTH, pattern=r"^[-+0-9:.,\s]*$"),
    "Indices": array(_INDEX, maxItems=limits.NDIM, description="an entry an axis"),
    "Fetch": record(
        {
            "slice_": {"anyOf": [ref("Slice"), {"type": "null"}]},
            "indices": {"anyOf": [ref("Indices"), text("the same as JSON"), {"type": "null"}]},
            "field": {"type": ["string", "null"], "maxLength": limits.DTYPE_LENGTH},
        },
        "slice_", "indices", "field",
    ),
    "Prefetch": record(
        {
            "path": text(),
            "state": {"enum": ["waiting", "running", "done", "failed", "cancelled"]},
            "datasets": whole("all that it is to fetch"),
            "done": whole("those that are here"),
            "failed": whole("those that can't be had"),
            "failures": array(
                text(), maxItems=limits.PREFETCH_FAILURES,
                description="the first of these, relative to the root",
            ),
            "nchunks": whole("chunks of the datasets that it came to so far"),
            "cached": whole("those of them that are here"),
            "error": text("what went wrong last"),
        }
    ),
    "Start": record({"name": text(), "version": text(), "roots": text(), "openapi": text()}),
    "Health": record(
        {
            "status": {"const": "ok"},
            "broker": {"type": "boolean", "description": "whether the broker is heard now"},
            "roots": whole("those that are up, as far as the broker told"),
        }
    ),
    "User": record(
        {
            "id": text("never changes, never comes again"),
            "email": text(),
            "is_active": {"const": True},
            "is_superuser": {"type": "boolean", "description": "who may administer users"},
            "is_verified": {"const": False},
        }
    ),
    "Login": form({"username": text(), "password": text()}),
    "NewAccount": form({"email": _EMAIL, "password": _PASSWORD}),
    "AddedAccount": form(
        {"username": _EMAIL, "password": _PASSWORD, "superuser": {"type": "boolean"}}, "superuser"
    ),
    "NewPassword": form({"password": text("the old one"), "new_password": _PASSWORD}),
    "Places": form({"src": text("where from"), "dst": text("where to")}),
    "NewExpression": form(
        {
            "name": text("a path in @personal, or in the special root that it begins with"),
            "expression": text(maxLength=limits.EXPRESSION_LENGTH),
            "operands": {
                "type": "object", "additionalProperties": text("ROOT/PATH"), "minProperties": 1,
            },
            "compute": {
                "type": ["boolean", "null"], "description": "whether the result is stored, once",
            },
            "func": {"enum": ["", None]},
        },
        "compute", "func",
    ),
    "RootEvent": record({"root": text(), "state": {"enum": ["up", "offline"]}, "http": text()}),
    "ChangeEvent": record(
        {"root": text(), "path": text(), "op": {"enum": ["put", "delete"]}, "etag": text()}
    ),
    "LostEvent": record({"root": text()}),
}  # fmt: skip
