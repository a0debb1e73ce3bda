"""Responses: errors as JSON, entity tags, conditional requests, headers of files."""

from __future__ import annotations

import functools
import logging
import re
import urllib.parse
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from caterva2.errors import CatervaError
from caterva2.frames.sealed import Sealed
from caterva2.rest import media
from caterva2.rest.errors import Error, error_body
from caterva2.web.state import reader_of

log = logging.getLogger(__name__)
_NAMES = {404: "not-found", 405: "method-not-allowed", 412: "precondition-failed"}
_STALE = '110 - "the publisher is offline; this is what was cached"'


async def on_caterva_error(request: Request, error: Exception) -> Response:
    """Answer with an error of this package and its HTTP status."""
    assert isinstance(error, CatervaError)
    reader_of(request).answered(error)
    headers = {"Retry-After": str(max(1, error.after_ms // 1000))} if error.retry == "later" else {}
    return JSONResponse(error_body(error), error.status, headers)


async def on_http_error(_: Request, error: Exception) -> Response:
    """Answer with an error of Starlette: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    name = _NAMES.get(error.status_code, "http")
    body: Error = {"detail": error.detail, "code": error.status_code, "name": name, "retry": "no"}
    return JSONResponse(body, error.status_code, error.headers)


async def on_any_error(request: Request, error: Exception) -> Response:
    """Log a programming error, and answer with 500 without its details."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    body: Error = {"detail": "internal error", "code": 500, "name": "internal", "retry": "no"}
    return JSONResponse(body, 500)


@functools.lru_cache(maxsize=64)  # a client sends one value with all its requests
def accepts(accept: str, media_type: str) -> bool:
    """Return whether an Accept header names a media type; ranges of types do not count."""
    for entry in accept.split(","):
        kind, _, parameters = entry.partition(";")
        if kind.strip() == media_type:
            return not re.search(r"\bq\s*=\s*0(\.0*)?\s*(;|$)", parameters)
    return False


def disposition(filename: str) -> str:
    """Return a Content-Disposition for a file's name, which may hold any character of a path."""
    quoted = urllib.parse.quote(filename, safe="")
    if quoted == filename:
        return f'attachment; filename="{filename}"'
    return f"attachment; filename*=UTF-8''{quoted}"


def warning(*, offline: bool) -> dict[str, str]:
    """Return the headers which say that an answer may be outdated."""
    return {"Warning": _STALE} if offline else {}


def head_only(headers: dict[str, str], media_type: str = media.BINARY) -> Response:
    """Answer HEAD where the length is not known yet, or there is none."""
    return StreamingResponse(iter(()), 200, headers, media_type)


def frame_tag(version: str, stored: Sealed | None) -> str:
    """Return the entity tag of a whole dataset: strong once the layout of its frame is known."""
    return f'"{version}-{stored.layout}"' if stored else f'W/"{version}"'


def not_modified(etag: str, headers: dict[str, str]) -> Response:
    """Answer 304, with the headers of the full answer."""
    return Response(status_code=304, headers=headers | {"ETag": etag})


def json_answer(value: Any, headers: dict[str, str] | None = None) -> Response:
    """Answer 200 with a value as JSON."""
    return JSONResponse(value, headers=headers)
