"""Changes of the special roots."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from caterva2.limits import constants
from caterva2.rest.shapes import Count, Form, Time, closed

OperandPaths = Annotated[
    dict[str, str],
    Field(
        description="``ROOT/PATH`` by the names in the expression.",
        json_schema_extra={"minProperties": 1},
    ),
]
ExpressionText = Annotated[str, Field(json_schema_extra={"maxLength": constants.EXPRESSION_LENGTH})]


class Transfer(Form):
    """Source and destination of a copy or a move."""

    src: str
    dst: str


class NewExpression(Form):
    """A dataset that is computed of others."""

    name: str = Field(
        description="A path in ``@personal``, or in the special root that it begins with."
    )
    expression: ExpressionText
    operands: OperandPaths
    compute: bool | None = Field(
        None, description="Whether the result is computed once, and stored."
    )
    func: Annotated[str | None, WithJsonSchema({"enum": ["", None]})] = Field(
        None, description="Other implementations run such a function. This one refuses it."
    )


FileForm = Annotated[
    Literal["file"],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"file": {"type": "string", "format": "binary"}},
            "required": ["file"],
        }
    ),
]
"""The multipart form of an upload."""


@closed
class TrashItem(TypedDict):
    """Something that was removed from a special root."""

    id: str
    path: str
    """``ROOT/PATH`` from which it was removed; the root alone for all that it had."""
    removed: Time
    expires: Time
    """When it is removed for good at the latest."""
    size: Count
    """Bytes of its files."""


@closed
class TrashList(TypedDict):
    """What the user may restore, the last one first."""

    items: list[TrashItem]
    size: Count
