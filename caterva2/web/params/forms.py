"""Validation of small bodies: forms and JSON. Errors never repeat the input."""

from __future__ import annotations

import urllib.parse
from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from caterva2.errors import BadForm
from caterva2.rest.shapes import Form
from caterva2.web.params import bodies
from caterva2.web.state import state_of

F = TypeVar("F", bound=Form)


async def from_form(request: Request, kind: type[F]) -> F:
    """Parse an URL-encoded form; `BadForm` if it is malformed or incomplete."""
    body = await bodies.read(request, *_form_limit(request))
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=16
        )
        return kind.model_validate(dict(pairs))
    except ValidationError as error:
        raise _bad(error) from None
    except ValueError:
        raise BadForm("the body is not an URL-encoded form") from None


async def from_json(request: Request, kind: type[F], limit: tuple[str, int] | None = None) -> F:
    """Parse a JSON object; `BadForm` if it is malformed or incomplete.

    ``limit`` is the name and the value of the limit of its size, ``FORM_BYTES`` by default.
    """
    body = await bodies.read(request, *(limit or _form_limit(request)))
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _bad(error) from None


def _form_limit(request: Request) -> tuple[str, int]:
    return "FORM_BYTES", state_of(request).limits.web.form_bytes


def _bad(error: ValidationError) -> BadForm:
    """Say what is wrong where, without the input: it may be a password."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or "the body"
    kind = "is not JSON" if first["type"] == "json_invalid" else first["msg"]
    return BadForm(f"{where}: {kind}")
