"""Accounts, logins, tokens. The server checks lengths itself, to say more than a schema could."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from caterva2.limits import constants
from caterva2.rest.shapes import Form, Time, closed

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
    is_active: bool
    """Whether the user can log in: not while the account is disabled."""
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


class ChangedAccount(Form):
    """What a superuser changes of an account; null leaves it as it is."""

    active: bool | None = Field(None, description="Whether the user can log in.")
    password: NewSecret | None = Field(None, description="The new one; all sessions end.")


class NewPassword(Form):
    """A change of the password."""

    password: str = Field(description="The old one.")
    new_password: NewSecret


@closed
class TokenInfo(TypedDict):
    """The description of a token, without its secret."""

    id: str
    """To revoke it by."""
    name: str
    roots: list[str]
    """Names of roots, or patterns of names: what it may see."""
    write: bool
    """Whether it may change special roots and subscriptions."""
    manage: bool
    """Whether it may administer tokens and, of a superuser, accounts."""
    created: Time
    expires: Time
    used: Time | None
    """About when it was last used; null if never."""
    token: NotRequired[str]
    """The token itself, only in the answer that makes it."""


class NewToken(Form):
    """A token to be made."""

    name: str = Field(description="What it is for, up to 100 characters.")
    roots: list[str] = Field(
        ["*"], description="Names of roots, or patterns of names such as climate-*, up to 64."
    )
    write: bool = Field(False, description="Whether it may change special roots.")
    manage: bool = Field(False, description="Whether it may administer tokens and accounts.")
    days: float | None = Field(
        None, description="Until it expires; null for a quarter of TOKEN_DAYS, which is the most."
    )
