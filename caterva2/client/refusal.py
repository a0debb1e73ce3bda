"""Refusal: the exception for an answer that is not a success."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from caterva2.client.errors import BadKey, HttpError, Missing, SessionOver
from caterva2.client.token import NONE, token_of

if TYPE_CHECKING:
    from caterva2.client.transport import Response

_LENGTH = 2**20  # bytes of an error's body that are read
_SHOWN = 200  # bytes of a body that is not JSON


def error_of(response: Response) -> HttpError:
    """Read the error that an answer describes."""
    body = response.read(_LENGTH)
    fields: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        fields = json.loads(body)
    if not isinstance(fields, dict):
        fields = {}
    detail = str(fields.get("detail") or body[:_SHOWN].decode("utf-8", "replace"))
    name = str(fields.get("name", "http"))
    kind: type[HttpError] = HttpError
    if token_of(response.headers) is NONE:
        kind = SessionOver
    elif response.status == 404:
        kind = Missing
    elif name == "bad-selection":
        kind = BadKey
    return kind(response.status, response.reason, detail, name, _put_off(response, fields))


def _put_off(response: Response, fields: dict[str, Any]) -> float | None:
    """Return the seconds that the subscriber asks to wait before another try, if it does."""
    if response.status not in (429, 503) or fields.get("retry") != "later":
        return None
    if fields.get("name") == "root-offline":
        return None
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1.0
