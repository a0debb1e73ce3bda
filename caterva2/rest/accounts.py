"""Accounts and logins. The server checks lengths itself, to say more than a schema could."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from caterva2.limits import constants
from caterva2.rest.shapes import Form, closed

Email = Annotated[
    str,
    Field(
        description="an address, NAME@DOMAIN",
        json_schema_extra={"maxLength": constants.EMAIL_LENGTH},
    ),
]
NewSecret = Annotated[
    str,
    Field(
        json_schema_extra={
            "minLength": constants.PASSWORD_LEAST, "maxLength": constants.PASSWORD_BYTES
        }
    ),
]  # fmt: skip


@closed
class Account(TypedDict):
    """An account."""

    id: str
    """Never changes, and is never used again."""
    email: str
    is_active: Literal[True]
    is_superuser: bool
    """Whether this user may administer accounts."""
    is_verified: Literal[False]


class Login(Form):
    """Name and password of a user."""

    username: str
    password: str


class NewAccount(Form):
    """An account that a user makes."""

    email: Email
    password: NewSecret


class AddedAccount(Form):
    """An account that a superuser makes."""

    username: Email
    password: NewSecret | None = Field(None, description="Needed; null is refused.")
    superuser: bool = False


class NewPassword(Form):
    """A change of the password."""

    password: str = Field(description="The old one.")
    new_password: NewSecret
