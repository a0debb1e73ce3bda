"""API tokens."""

from __future__ import annotations

from typing import NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from caterva2.rest.shapes import Form, Time, closed


@closed
class TokenInfo(TypedDict):
    """What is known of a token."""

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
