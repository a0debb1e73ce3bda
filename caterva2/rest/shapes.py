"""Elements of answers and bodies: closed dictionaries, counts, times, the base of bodies."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, with_config

closed = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
"""For a `TypedDict` of an answer that has these keys and no others."""
Count = Annotated[int, Field(ge=0)]
Time = Annotated[str, Field(description="ISO 8601, UTC", json_schema_extra={"format": "date-time"})]


class Form(BaseModel):
    """Base of a request's body, JSON or a form.

    Unknown keys are ignored, and errors never repeat the input. Fields have their descriptions in
    `Field`: to read docstrings of attributes Pydantic searches the source files, which takes 30 ms
    of a start.
    """

    model_config = ConfigDict(
        strict=True, extra="ignore", hide_input_in_errors=True, defer_build=True
    )
