"""The OpenAPI document, made of the declarations of the operations."""

from __future__ import annotations

import http
import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from caterva2.model import JSON
from caterva2.rest import media
from caterva2.rest.errors import Error
from caterva2.version import __version__
from caterva2.web.operation import Operation, Parameter, Reply, json_reply

_FAILURES: Final = {
    304: "the client has this version",
    400: "a malformed name, slice, index or parameter, or an unknown parameter",
    401: "a login is needed, or the rights of a superuser",
    403: "another site sent this, or an administrator has to add this address",
    404: "an unknown root, dataset, directory, chunk or user",
    409: "the dataset changed repeatedly while it was read, the name is taken, or an offset is "
    "another one",
    410: "the version that is pinned, or the array of a chunk, is not there any more",
    412: "the dataset has another version than If-Match names or none, or a later time",
    413: "the answer needs too much memory, or the body is too large",
    416: "no range lies within the content, or there are too many ranges",
    422: "a name, a password or a file is missing, or has the wrong type",
    429: "a limit of the server is reached: try again later",
    502: "the publisher's file is damaged, or holds what is not served",
    503: "the root is offline and this is not cached, or the service is busy",
    504: "the publisher did not answer in time, or the deadline passed",
    507: "a whole dataset fits neither into the cache nor into memory, or the quota is used up",
}
_FAILURE_HEADERS: Final[dict[int, tuple[str, ...]]] = {
    412: ("ETag",), 416: ("Content-Range",), 429: ("Retry-After",), 503: ("Retry-After",)
}  # fmt: skip
_HEADERS: Final[JSON] = {
    "ETag": {
        "schema": {"type": "string"}, "description": "weak where the answer was made for a request"
    },
    "Accept-Ranges": {"schema": {"enum": ["bytes", "none"]}},
    "Last-Modified": {
        "schema": {"type": "string"}, "description": "when it last changed at the publisher"
    },
    "Warning": {"schema": {"type": "string"}, "description": "110 if the publisher is away"},
    "Content-Disposition": {"schema": {"type": "string"}},
    "Content-Range": {"schema": {"type": "string"}},
    "Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "seconds"},
    "Upload-Offset": {
        "schema": {"type": "integer", "minimum": 0}, "description": "bytes that have arrived"
    },
    "Upload-Length": {"schema": {"type": "integer", "minimum": 0}},
    "Upload-Complete": {"schema": {"enum": ["?0", "?1"]}},
    "Set-Cookie": {"schema": {"type": "string"}},
}  # fmt: skip
_PATH_PARAMETERS: Final = {
    "path": "ROOT/relative/path; slashes need no escape",
    "root": "a root's name",
    "item": "the id of an item in the trash",
    "upload": "the id of an upload",
    "username": "an address, NAME@DOMAIN",
}
_REF = "#/components/schemas/{model}"


class _Generator(GenerateJsonSchema):
    """Schemas without titles that only repeat the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Schemas:
    """Schemas of types; those that have a name are gathered in ``named``."""

    def __init__(self) -> None:
        self.named: JSON = {}
        self._made: dict[int, JSON] = {}

    def of(self, kind: Any) -> JSON:
        """Return the schema of a type, which may refer to others in ``named``."""
        if id(kind) not in self._made:
            self._made[id(kind)] = self._make(kind)
        return self._made[id(kind)]

    def _make(self, kind: Any) -> JSON:
        found, rest = TypeAdapter.json_schemas(
            [(0, "validation", TypeAdapter(kind))], ref_template=_REF, schema_generator=_Generator
        )
        self.named |= rest.get("$defs", {})
        return found[0, "validation"]


def document(operations: Iterable[Operation]) -> JSON:
    """Make the document that describes some operations."""
    schemas = _Schemas()
    paths: JSON = {}
    for operation in operations:
        methods = paths.setdefault(operation.path, {})
        methods[operation.method.lower()] = made = _operation(operation, schemas)
        if operation.method == "GET":
            methods["head"] = _head(made)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Caterva2",
            "version": __version__,
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": ".."}],
        "paths": paths,
        "components": {"schemas": schemas.named, "headers": _HEADERS},
    }


def _operation(operation: Operation, schemas: _Schemas) -> JSON:
    made: JSON = {
        "summary": operation.summary,
        "parameters": [
            *map(_path_parameter, re.findall(r"\{(\w+)\}", operation.path)),
            *(_parameter(parameter, schemas) for parameter in operation.parameters),
        ],
        "responses": {
            **{str(code): _reply(reply, schemas) for code, reply in operation.replies.items()},
            **{str(code): _failure(code, schemas) for code in operation.failures},
        },
    }
    if body := operation.body:
        content = {body.media_type: {"schema": schemas.of(body.kind)}}
        made["requestBody"] = {"required": body.required, "content": content}
    return made


def _head(get: JSON) -> JSON:
    """Describe HEAD, which ignores ranges and has no body."""
    responses = {
        status: {key: value for key, value in answer.items() if key != "content"}
        for status, answer in get["responses"].items()
        if status not in ("206", "416")
    }
    return get | {"summary": f"{get['summary']}: headers only", "responses": responses}


def _path_parameter(name: str) -> JSON:
    return {
        "name": name, "in": "path", "required": True, "description": _PATH_PARAMETERS[name],
        "schema": {"type": "string", "minLength": 1},
    }  # fmt: skip


def _parameter(parameter: Parameter, schemas: _Schemas) -> JSON:
    schema = {"schema": schemas.of(parameter.kind)}
    shape: JSON = {"content": {media.JSON: schema}} if parameter.as_json else schema
    return {
        "name": parameter.name, "in": parameter.where, "required": parameter.required,
        "description": parameter.description,
    } | shape  # fmt: skip


def _reply(reply: Reply, schemas: _Schemas) -> JSON:
    for kind in reply.parts:
        schemas.of(kind)
    made: JSON = {"description": reply.description}
    if reply.content:
        made["content"] = {
            media_type: {"schema": schemas.of(kind)} for media_type, kind in reply.content.items()
        }
    if reply.headers:
        refs = {name: {"$ref": f"#/components/headers/{name}"} for name in reply.headers}
        made["headers"] = refs
    return made


def _failure(status: int, schemas: _Schemas) -> JSON:
    if status == http.HTTPStatus.NOT_MODIFIED:
        return _reply(Reply(_FAILURES[status], {}, ("ETag", "Warning")), schemas)
    return _reply(json_reply(Error, _FAILURES[status], *_FAILURE_HEADERS.get(status, ())), schemas)
