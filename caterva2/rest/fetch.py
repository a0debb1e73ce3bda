"""Parameters of ``fetch``, in the query or in a JSON body."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from caterva2.limits import constants
from caterva2.rest.shapes import closed
from caterva2.rest.values.files import Format

Slice = Annotated[
    str,
    Field(
        max_length=constants.SELECTION_LENGTH,
        pattern=r"^[-+0-9:.,\s]*$",
        description="a slice as in Python, without brackets",
    ),
]
_Index = (
    int
    | None
    | Annotated[str, Field(description='`"start:stop"` or `"start:stop:step"`')]
    | Annotated[list[Any], Field(description="an index array: integers, or lists of them")]
)
Indices = Annotated[
    list[_Index], Field(max_length=constants.NDIM, description="one entry for each axis")
]
FieldName = Annotated[
    str, Field(max_length=constants.DTYPE_LENGTH, description="a field of a structured dtype")
]


@closed
class Fetch(TypedDict):
    """Parameters of ``fetch``."""

    slice_: NotRequired[Slice | None]
    indices: NotRequired[Indices | Annotated[str, Field(description="the list as JSON")] | None]
    field: NotRequired[FieldName | None]
    format: NotRequired[Format | None]
