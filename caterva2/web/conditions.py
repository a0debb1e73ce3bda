"""Conditions of a request: If-Match, If-Unmodified-Since and If-None-Match."""

from __future__ import annotations

import email.utils
import math
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request

from caterva2.model import Check, DatasetInfo, Entry

PRECONDITIONS = (b"if-match", b"if-unmodified-since")
"""Headers of requests that are refused with 412 unless they hold."""


def check_version(request: Request, info: DatasetInfo | Entry) -> None:
    """Refuse a request that is meant for another version of its dataset, with 412.

    An entity tag stands for a version here, in any layout of its stored frame: `check_tag` compares
    the whole tag, where the answer is a stored file.
    """
    _check_version(request.headers, info)


def _check_version(headers: Headers, info: DatasetInfo | Entry) -> None:
    if (given := _tags(headers, "if-match")) is not None:
        if not _names(given, info.etag):
            raise _failed("If-Match", f'"{info.etag}"')
        return
    since = _seconds(headers.get("if-unmodified-since"))
    if since is not None and math.floor(info.mtime) > since:
        raise _failed("If-Unmodified-Since", f'"{info.etag}"')


def check_of_change(headers: Headers) -> Check:
    """Return a check of what a request is to change, to be made when nothing else can change it.

    `If-Match` never holds for what has no version: it does not exist, or is a directory.
    """

    def check(present: Entry | None) -> None:
        if present is not None:
            _check_version(headers, present)
        elif _tags(headers, "if-match") is not None:
            raise HTTPException(412, "If-Match does not hold: there is no file of this name")

    return check


def check_tag(request: Request, etag: str) -> None:
    """Refuse a request for bytes of a file with another entity tag, with 412."""
    given = _tags(request.headers, "if-match")
    if given is not None and "*" not in given and etag not in given:
        raise _failed("If-Match", etag)


def has_version(request: Request, version: str) -> bool:
    """Return whether the client has a version already, in any layout of its stored frame."""
    return _names(_tags(request.headers, "if-none-match") or [], version)


def has_tag(request: Request, etag: str) -> bool:
    """Return whether the client has the very answer that an entity tag stands for."""
    weak = etag.removeprefix("W/")
    given = _tags(request.headers, "if-none-match") or []
    return any(tag == "*" or tag.removeprefix("W/") == weak for tag in given)


def last_modified(info: DatasetInfo) -> dict[str, str]:
    """Return the header with the time of a dataset's last change at the publisher."""
    try:
        date = datetime.fromtimestamp(math.floor(info.mtime), UTC)
    except (ValueError, OverflowError, OSError):
        return {}  # a time that no date stands for
    return {"Last-Modified": email.utils.format_datetime(date, usegmt=True)}


def _tags(headers: Headers, name: str) -> list[str] | None:
    """Return the entity tags of a header; None without the header."""
    lines = headers.getlist(name)
    if not lines:
        return None
    return [tag for line in lines for part in line.split(",") if (tag := part.strip(" \t"))]


def _names(tags: list[str], version: str) -> bool:
    plain = [tag.removeprefix("W/").strip('"') for tag in tags]
    return any(tag == "*" or tag.partition("-")[0] == version for tag in plain)


def _seconds(date: str | None) -> float | None:
    """Return a date of a header in seconds since 1970; None for no date, which is ignored."""
    try:
        found = email.utils.parsedate_to_datetime(date) if date else None
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp() if found else None
    except (ValueError, TypeError, OverflowError):
        return None


def _failed(header: str, etag: str) -> HTTPException:
    detail = f"{header} does not hold: the version is {etag} now"
    return HTTPException(412, detail, {"ETag": etag})


def check_operands(wanted: Mapping[str, str], present: Mapping[str, str]) -> None:
    """Refuse a computation that is meant for another version of an operand, with 412."""
    for name, etag in wanted.items():
        if name in present and present[name] != etag:
            raise HTTPException(412, f"operand {name} has the version {present[name]!r} now")
