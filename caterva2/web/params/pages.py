"""Parameters of lists: the size of a page, and what is switched on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field

from caterva2.errors import BadRequest
from caterva2.limits import DEFAULTS
from caterva2.web.operation import Parameter
from caterva2.web.params import queries

LIMIT: Final = Parameter(
    "limit", Annotated[int, Field(ge=1, le=DEFAULTS.web.members)],
    "datasets and directories of a page, MEMBERS at most",
)  # fmt: skip


def count_of(given: Mapping[str, str], usual: int, most: int) -> int:
    """Return the parameter ``limit``, or the usual number without one."""
    return queries.integer(given, LIMIT.name, usual, 1, most, "MEMBERS")


def is_on(given: Mapping[str, str], name: str) -> bool:
    """Return whether a parameter is there, and 1; `BadRequest` for other values."""
    text = given.get(name)
    if text not in (None, "1"):
        raise BadRequest(f"{name}={text[:40]!r} is not 1")
    return text is not None
