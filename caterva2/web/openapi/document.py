"""The description of the REST interface for programs: an OpenAPI document."""

from __future__ import annotations

import http
from typing import Final

from caterva2 import limits
from caterva2.model import JSON
from caterva2.rest.stream import MEDIA_TYPE
from caterva2.version import __version__
from caterva2.web.openapi.schemas import SCHEMAS, array, ref, text, whole

BINARY = "application/octet-stream"
_READING = (400, 404, 409, 502, 503, 504)
"""How reading a dataset can fail, whatever is read of it."""
_WHY: Final = {
    304: "the client has this version",
    400: "a malformed name, slice, index or parameter, or an unknown one",
    401: "only users may, or only superusers",
    403: "another site sent this, or an administrator has to add this address",
    404: "an unknown root, dataset, directory or chunk",
    409: "the dataset changed again and again while it was read, or the name is taken",
    413: "more than the server makes in memory, or a body that is too large",
    416: "no range lies within the content, or there are too many",
    422: "a name, a password or a file is missing, or of another type",
    429: "as many as the server takes are there already",
    502: "the publisher's file is damaged, or holds what is not served",
    503: "the root is offline and this is not cached, or somebody is busy",
    504: "the publisher did not answer in time, or all of it took too long",
    507: "a whole dataset fits neither into the cache nor into memory, or the quota is used up",
}

_HEADERS: Final[JSON] = {
    "ETag": {"schema": text(), "description": "weak where the answer was made"},
    "Accept-Ranges": {"schema": {"enum": ["bytes", "none"]}},
    "Warning": {"schema": text(), "description": "110 where the publisher is offline"},
    "Content-Disposition": {"schema": text()},
    "Content-Range": {"schema": text()},
    "Retry-After": {"schema": whole(), "description": "seconds"},
}
_PARAMETERS: Final[JSON] = {
    "path": {
        "name": "path", "in": "path", "required": True, "schema": text(minLength=1),
        "description": "ROOT/relative/path; slashes need no escape",
    },
    "root": {
        "name": "root", "in": "path", "required": True, "schema": text(minLength=1),
    },
    "slice_": {
        "name": "slice_", "in": "query", "schema": ref("Slice"),
        "description": "a slice as in Python, without brackets",
    },
    "indices": {
        "name": "indices", "in": "query",
        "content": {"application/json": {"schema": ref("Indices")}},
        "description": "index arrays instead of a slice",
    },
    "field": {
        "name": "field", "in": "query", "schema": text(maxLength=limits.DTYPE_LENGTH),
        "description": "a field of a structured dtype",
    },
    "after": {
        "name": "after", "in": "query", "schema": text(),
        "description": "a path, relative to the directory: tell of those that come after it",
    },
    "username": {
        "name": "username", "in": "path", "required": True, "schema": text(minLength=1),
    },
    "only_username": {
        "name": "username", "in": "query", "schema": text(),
        "description": "tell of this user only",
    },
    "nchunk": {"name": "nchunk", "in": "query", "required": True, "schema": whole()},
    "unpack": {
        "name": "unpack", "in": "query", "schema": {"enum": ["", "0", "1"]},
        "description": "1: the file is an archive, whose files are wanted",
    },
    "only_root": {
        "name": "root", "in": "query", "schema": text(),
        "description": "tell of this root only",
    },
    "Range": {"name": "Range", "in": "header", "schema": text()},
    "If-Range": {"name": "If-Range", "in": "header", "schema": text()},
    "If-None-Match": {"name": "If-None-Match", "in": "header", "schema": text()},
}  # fmt: skip


def _headers(*names: str) -> JSON:
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def answer(description: str, schema: JSON, kind: str = "application/json", *told: str) -> JSON:
    return {"description": description, "content": {kind: {"schema": schema}}} | _headers(*told)


def _refusal(status: int) -> JSON:
    if status == http.HTTPStatus.NOT_MODIFIED:
        return {"description": _WHY[status]} | _headers("ETag", "Warning")
    told = {416: ("Content-Range",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    return answer(_WHY[status], ref("Error"), "application/json", *told)


def does(
    summary: str,
    answers: dict[int, JSON],
    fails: tuple[int, ...] = (),
    takes: tuple[str, ...] = (),
    body: JSON | None = None,
) -> JSON:
    """One operation: what it does, how it answers, how it fails, what it takes."""
    known = {str(status): _refusal(status) for status in fails}
    return {
        "summary": summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in takes],
        "responses": {str(status): answer for status, answer in answers.items()} | known,
    } | ({"requestBody": body} if body else {})


def _head(get: JSON) -> JSON:
    """HEAD, which works wherever GET does and ignores Range."""
    answers = {
        status: {part: what for part, what in answer.items() if part != "content"}
        for status, answer in get["responses"].items()
        if status not in ("206", "416")
    }
    return get | {"summary": f"{get['summary']}: the headers alone", "responses": answers}


def _bytes(description: str, kinds: tuple[str, ...] = (BINARY,)) -> JSON:
    told = ("ETag", "Accept-Ranges", "Warning", "Content-Disposition")
    schema = {"type": "string", "format": "binary"}
    content = {kind: {"schema": schema} for kind in kinds}
    return {"description": description, "content": content} | _headers(*told)


def _ranged(description: str, kind: str = BINARY, *others: str) -> dict[int, JSON]:
    part = _bytes("one range of it, or several", (kind, "multipart/byteranges"))
    part["headers"] |= _headers("Content-Range")["headers"]
    return {200: _bytes(description, (kind, *others)), 206: part}


_CONDITIONS = ("Range", "If-Range", "If-None-Match")
_FETCHED = (
    "a Blosc2 contiguous frame: the stored one, or one made for what was selected; for who accepts "
    "it a stream of chunks"
)
_STARTED = answer("how far the prefetch is", ref("Prefetch"))
_EVENTS = (
    "Server-sent events: `roots` (a RootEvent), `change` (a ChangeEvent) and `lost` (a LostEvent)"
)
PATHS: Final[JSON] = {
    "/": {
        "get": does("Where to begin", {200: answer("paths to go on with", ref("Start"))}, (400,)),
    },
    "/api/roots": {
        "get": does("The roots", {200: answer(
            "roots by their names", {"type": "object", "additionalProperties": ref("Root")}
        )}, (400,)),
    },
    "/api/subscribe/{root}": {
        "post": does("Follow a root", {200: answer(
            "its datasets' names are known", {"const": "Ok"}
        )}, (400, 401, 404, 502, 503, 504), ("root",)),
        "delete": does("Stop to follow a root", {200: answer(
            "what is cached stays", {"const": "Ok"}
        )}, (400, 401, 404, 503), ("root",)),
    },
    "/api/list/{path}": {
        "get": does("The datasets below a root or directory", {200: answer(
            "sorted paths, relative to it", array(text())
        )}, (400, 404, 502, 503, 504), ("path",)),
    },
    "/api/info/{path}": {
        "get": does("What a dataset, directory or root is", {200: answer(
            "a description",
            {"anyOf": [ref(kind) for kind in ("Array", "Computed", "Bytes", "Group")]},
            "application/json", "ETag", "Warning",
        )}, _READING, ("path",)),
    },
    "/api/members/{path}": {
        "get": does("What the datasets of a root or directory are", {200: answer(
            "descriptions of the first of them, in order", ref("Members"),
            "application/json", "Warning",
        )}, _READING, ("path", "after")),
    },
    "/api/fetch/{path}": {
        "get": does(
            "A dataset, or what is selected of it", _ranged(_FETCHED, BINARY, MEDIA_TYPE),
            (304, *_READING, 413, 416, 507),
            ("path", "slice_", "indices", "field", *_CONDITIONS),
        ),
        "post": does(
            "The same, with the parameters in the body",
            {200: _bytes(_FETCHED, (BINARY, MEDIA_TYPE))}, (304, *_READING, 413, 507),
            ("path", "If-None-Match"),
            {"content": {"application/json": {"schema": ref("Fetch")}}},
        ),
    },
    "/api/chunk/{path}": {
        "get": does(
            "One raw chunk, as it is stored", {200: _bytes("a Blosc2 chunk")},
            (*_READING, 507), ("path", "nchunk"),
        ),
    },
    "/api/download/{path}": {
        "get": does(
            "A dataset as a file for a person", _ranged("the file", "*/*"),
            (304, *_READING, 416, 507), ("path", *_CONDITIONS),
        ),
    },
    "/api/prefetch/{path}": {
        "post": does(
            "Fetch all of a dataset, directory or root in the background", {202: _STARTED},
            (*_READING, 429), ("path",),
        ),
        "get": does("How far a prefetch is", {200: _STARTED}, (400, 404), ("path",)),
        "delete": does(
            "End a prefetch; what it fetched stays", {200: _STARTED}, (400, 401, 404), ("path",)
        ),
    },
    "/api/events": {
        "get": does("What happens to the roots", {200: answer(
            _EVENTS, text(), "text/event-stream"
        )}, (400, 429, 503), ("only_root",)),
    },
    "/api/openapi.json": {
        "get": does("This document", {200: answer("OpenAPI 3.1", {"type": "object"})}, (400,)),
    },
    "/healthz": {
        "get": does("Whether the server lives", {200: answer(
            "it does", ref("Health")
        )}),
    },
    "/metrics": {
        "get": does("Counters for Prometheus", {200: answer(
            "a line each", text(), "text/plain"
        )}),
    },
}  # fmt: skip


def document(more: JSON | None = None) -> JSON:
    """The whole description, with more paths than those that are always there."""
    paths = {
        path: methods | ({"head": _head(methods["get"])} if "get" in methods else {})
        for path, methods in (PATHS | (more or {})).items()
    }
    components = {"schemas": SCHEMAS, "parameters": _PARAMETERS, "headers": _HEADERS}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Caterva2",
            "version": __version__,
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components,
    }
