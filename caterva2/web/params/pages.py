"""The size of a page, as a request asks for it."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field
from starlette.requests import Request

from caterva2.errors import BadRequest
from caterva2.limits import DEFAULTS
from caterva2.web.operation import Parameter

LIMIT: Final = Parameter(
    "limit", Annotated[int, Field(ge=1, le=DEFAULTS.web.members)],
    "datasets and directories of a page, MEMBERS at most",
)  # fmt: skip


def count_of(request: Request, most: int, usual: int | None = None) -> int:
    """Return the parameter ``limit`` of a request; without one the usual number, or the most.

    Raises
    ------
    BadRequest
        If it is no number from 1 to the most.
    """
    text = request.query_params.get("limit")
    if text is None:
        return most if usual is None else min(usual, most)
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise BadRequest(f"limit={text[:40]!r} is no number from 1 to MEMBERS, {most}")
    return int(text)
