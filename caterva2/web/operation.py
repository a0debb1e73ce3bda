"""Declaration of a call of the REST interface: its route and its OpenAPI operation."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.errors import BadRequest
from caterva2.rest import media

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the query or a header; those in the path follow from the path.

    ``kind`` is a type that pydantic makes a schema of; ``as_json`` says that the parameter's text
    is JSON.
    """

    name: str
    kind: Any = str
    description: str = ""
    where: Literal["query", "header"] = "query"
    required: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its body's type by media type, and the headers that it may have.

    ``parts`` are types that a body of a media type without a schema consists of.
    """

    description: str
    content: Mapping[str, Any]
    headers: tuple[str, ...] = ()
    parts: tuple[Any, ...] = ()


def json_reply(kind: Any, description: str, *headers: str) -> Reply:
    """Declare an answer in JSON."""
    return Reply(description, {media.JSON: kind}, headers)


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body: its type and its media type."""

    kind: Any
    media_type: str = media.JSON
    required: bool = True


@dataclass(frozen=True, slots=True)
class Operation:
    """A call of the REST interface.

    Parameters
    ----------
    method : str
        A GET answers HEAD too.
    path : str
        One of `caterva2.rest.paths`.
    handler : callable
    summary : str
    replies : mapping of int to Reply
        By HTTP status.
    failures : tuple of int
        Statuses of errors.
    parameters : tuple of Parameter
    body : Body, optional
    checks_query : bool
        Whether query parameters that are not declared are refused, with 400, before the handler
        runs. Otherwise the handler does so, or ignores them.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    handler: Handler
    summary: str
    replies: Mapping[int, Reply]
    failures: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    checks_query: bool = True

    async def __call__(self, request: Request) -> Response:
        if self.checks_query and request.query_params:
            known = [parameter.name for parameter in self.parameters if parameter.where == "query"]
            for name in request.query_params:
                # Ignoring it would give another answer than the one that was meant.
                if name not in known:
                    raise BadRequest(f"unknown query parameter {name!r}")
        return await self.handler(request)


def routes(operations: Iterable[Operation]) -> list[Route]:
    """Make a route for each path, in the order of the operations: they are tried in this order."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    return [
        Route(_pattern(path), _endpoint(methods), methods=list(methods))
        for path, methods in by_path.items()
    ]


def _pattern(path: str) -> str:
    """Return a path in Starlette's syntax, with converters for what may hold slashes or be empty.

    Starlette leads a path with an empty id to the one without, which is of all that have an id.
    """
    return re.sub(r"\{(path|username|item|upload)\}", r"{\1:path}", path)


def _endpoint(methods: Mapping[str, Operation]) -> Handler:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method](request)

    return endpoint
