"""How answers are formed: errors as JSON, stored frames by range, entity tags."""

from __future__ import annotations

import logging
import urllib.parse
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from caterva2.errors import CatervaError
from caterva2.frames.sealed import Sealed

log = logging.getLogger(__name__)
STALE = '110 - "the publisher is offline; this is what was cached"'
BINARY = "application/octet-stream"


def error_body(error: CatervaError) -> dict[str, object]:
    """What is told of an error."""
    body: dict[str, object] = {
        "detail": error.detail, "code": error.code, "name": error.name, "retry": error.retry
    }  # fmt: skip
    return body | ({"info": error.info} if error.info else {})


async def on_caterva_error(_: Request, error: Exception) -> Response:
    """Our own errors, with the status that each of them has."""
    assert isinstance(error, CatervaError)
    body = error_body(error)
    headers = {"Retry-After": str(max(1, error.after_ms // 1000))} if error.retry == "later" else {}
    return JSONResponse(body, error.status, headers)


async def on_http_error(_: Request, error: Exception) -> Response:
    """What Starlette refuses: unknown paths, wrong methods."""
    assert isinstance(error, HTTPException)
    name = error.detail.lower().replace(" ", "-") if error.status_code in (404, 405) else "http"
    body = {"detail": error.detail, "code": error.status_code, "name": name, "retry": "no"}
    return JSONResponse(body, error.status_code, error.headers)


async def on_any_error(request: Request, error: Exception) -> Response:
    """A fault of ours: named in the log, and told as one."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    body = {"detail": "internal error", "code": 500, "name": "internal", "retry": "no"}
    return JSONResponse(body, 500)


def disposition(filename: str) -> str:
    """A Content-Disposition for a name that may hold anything a path may."""
    quoted = urllib.parse.quote(filename, safe="")
    if quoted == filename:
        return f'attachment; filename="{filename}"'
    return f"attachment; filename*=UTF-8''{quoted}"


def has_version(request: Request, version: str) -> bool:
    """Whether the client says that it has this version already, in whatever layout."""
    given = ",".join(request.headers.getlist("if-none-match"))
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in given.split(",")]
    return any(tag == "*" or tag.partition("-")[0] == version for tag in tags if tag)


def warning(*, offline: bool) -> dict[str, str]:
    """Tells that what is answered may be old."""
    return {"Warning": STALE} if offline else {}


def head_only(headers: dict[str, str], kind: str = BINARY) -> Response:
    """Headers of an answer whose length is not known yet, or that has no end."""
    return StreamingResponse(iter(()), 200, headers, kind)


def frame_tag(version: str, stored: Sealed | None) -> str:
    """The entity tag of a whole dataset: a strong one once it is known in which order it lies."""
    return f'"{version}-{stored.layout}"' if stored else f'W/"{version}"'


def not_modified(etag: str, headers: dict[str, str]) -> Response:
    """The client has it already; the headers are those that the answer would have."""
    return Response(status_code=304, headers=headers | {"ETag": etag})


def json_answer(value: Any, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(value, headers=headers)
