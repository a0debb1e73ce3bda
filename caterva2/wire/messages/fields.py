"""Field types that several messages use, and the message of a failed request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from caterva2.limits import constants
from caterva2.model import Count, Model

VERSION = 1
Id = Annotated[int, Field(ge=0, lt=2**53)]
Detail = Annotated[str, Field(max_length=4096)]
DeadlineMs = Annotated[int, Field(ge=1, le=int(constants.DEADLINE_MAX * 1000))]


class Error(Model):
    """The request failed."""

    type: Literal["error"] = "error"
    id: Id
    code: int
    name: Annotated[str, Field(max_length=64)]
    retry: Literal["no", "now", "later"]
    after_ms: Count = 0
    detail: Detail
    info: dict[str, str | int] = {}
