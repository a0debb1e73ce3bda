"""Names and passwords out of a request's body, and nothing told back of them."""

from __future__ import annotations

import urllib.parse
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from caterva2 import limits
from caterva2.errors import BadForm
from caterva2.web.params import bodies


class Form(BaseModel):
    """Base of what a body has to hold. What else it holds is not looked at."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class Login(Form):
    username: str
    password: str


class NewAccount(Form):
    email: str
    password: str


class AddedAccount(Form):
    username: str
    password: str | None = None
    superuser: bool = False


class NewPassword(Form):
    password: str
    new_password: str


F = TypeVar("F", bound=Form)


async def from_form(request: Request, kind: type[F]) -> F:
    """What an URL-encoded form holds; `BadForm` if it is none, or lacks something."""
    body = await bodies.read(request, limits.FORM_BYTES, "FORM_BYTES")
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=16
        )
        return kind.model_validate(dict(pairs))
    except ValidationError as error:
        raise _bad(error) from None
    except ValueError:
        raise BadForm("the body is not an URL-encoded form") from None


async def from_json(
    request: Request, kind: type[F], most: int = limits.FORM_BYTES, limit: str = "FORM_BYTES"
) -> F:
    """What a JSON object holds; `BadForm` if it is none, or lacks something."""
    body = await bodies.read(request, most, limit)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _bad(error) from None


def _bad(error: ValidationError) -> BadForm:
    """What is wrong where, without the input: it may be a password."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or "the body"
    kind = "is not JSON" if first["type"] == "json_invalid" else first["msg"]
    return BadForm(f"{where}: {kind}")
