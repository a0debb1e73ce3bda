"""The body of every answer that is an error."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from caterva2.errors import CatervaError, Retry, printable
from caterva2.rest.shapes import closed


@closed
class Error(TypedDict):
    """An error."""

    detail: str
    """The problem, in a sentence."""
    code: int
    """The wire protocol's number of the error, which is not always the HTTP status."""
    name: str
    """The kind of error, for programs."""
    retry: Retry
    """Whether the request may succeed when it is repeated."""
    info: NotRequired[dict[str, object]]
    """Details for programs."""


def error_body(error: CatervaError) -> Error:
    """Make the body for an error of this package."""
    body: Error = {
        "detail": printable(error.detail), "code": error.code,
        "name": error.name, "retry": error.retry,
    }  # fmt: skip
    if error.info:
        body["info"] = error.info
    return body
