"""Base of JSON bodies and forms that requests carry."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Form(BaseModel):
    """Base of a request's body. Unknown keys are ignored, and errors never repeat the input.

    Fields have their descriptions in `Field`: to read docstrings of attributes Pydantic searches
    the source files, which takes 30 ms of a start.
    """

    model_config = ConfigDict(
        strict=True, extra="ignore", hide_input_in_errors=True, defer_build=True
    )
