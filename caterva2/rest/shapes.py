"""Elements of all answers: closed dictionaries, counts, times."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, with_config

closed = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
"""For a `TypedDict` of an answer that has these keys and no others."""
Count = Annotated[int, Field(ge=0)]
Time = Annotated[str, Field(description="ISO 8601, UTC", json_schema_extra={"format": "date-time"})]
