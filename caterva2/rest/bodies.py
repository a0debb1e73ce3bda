"""Base of JSON bodies and forms that requests carry."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Form(BaseModel):
    """Base of a request's body. Unknown keys are ignored, and errors never repeat the input."""

    model_config = ConfigDict(
        strict=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True
    )
