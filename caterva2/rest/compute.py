"""Computations that are answered and not stored."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from caterva2.rest.shapes import Count, Form, closed
from caterva2.rest.special import ExpressionText, OperandPaths

OPERANDS_HEADER = "Caterva2-Operands"
"""Header of an answer: the versions of its operands, as a JSON object by their names."""


class Compute(Form):
    """An expression to be computed."""

    expression: ExpressionText
    operands: OperandPaths
    etags: dict[str, str] | None = Field(
        None, description="Versions by operands' names: 412 if one of them is another one now."
    )


@closed
class OperandShown(TypedDict):
    """An operand, in the version that is read."""

    path: str
    """``ROOT/PATH``."""
    etag: str
    shape: list[Count]
    dtype: str


@closed
class Cost(TypedDict):
    """What a computation of the whole result takes; limits are in the documentation."""

    read: Count
    """Decompressed bytes of chunks of operands."""
    staged: Count
    """Most bytes that are held at a time of parts that the rest waits for, such as means."""


@closed
class Plan(TypedDict):
    """What would be computed."""

    shape: list[Count]
    dtype: str
    nbytes: Count
    etag: str
    """Version of the result: it follows from the expression and the versions of its operands."""
    cost: Cost
    operands: Annotated[dict[str, OperandShown], Field(min_length=1)]
    """By their names."""
