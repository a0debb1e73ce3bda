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


class NewUpload(Form):
    """A file that is to be uploaded, by one request or several."""

    path: str = Field(description="Where it is stored, as of ``/api/upload/``.")
    size: Annotated[int, Field(ge=0, lt=2**53, strict=True)]
    name: str = Field("", description="Of the file: where the path is a directory, in an archive.")
    tag: str = Field(
        "", max_length=200,
        description="By which the client finds an unfinished upload of this file again.",
    )  # fmt: skip
    unpack: bool = Field(False, description="Whether it is an archive, to be unpacked.")


@closed
class UploadState(TypedDict):
    """An upload of which a part may be missing."""

    id: str
    path: str
    """``ROOT/PATH`` of what it becomes, or has become."""
    size: Count
    offset: Count
    """Bytes that have arrived: the next ones go on here."""
    complete: bool
    """Whether it is stored under its path."""
    active: bool
    """Whether a request sends it now."""
    tag: str
    expires: Time
    """When it is given up, unless more arrives."""


@closed
class UploadList(TypedDict):
    """The unfinished uploads of a user, the last one first."""

    items: list[UploadState]


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
