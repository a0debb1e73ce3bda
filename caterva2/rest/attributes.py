"""Attributes in descriptions, in the form of `caterva2.arrays.attributes`."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from caterva2.rest.shapes import Count, closed


@closed
class Attribute(TypedDict):
    """The typed value of an attribute."""

    dtype: str
    """One of numpy's dtypes, or text, bytes, reference, record, vlen, json, list or map."""
    shape: NotRequired[list[Count] | None]
    """Null of an attribute that has no value; absent of json, list and map."""
    value: NotRequired[Any]
    """The items, in lists within lists as the shape says."""
    enum: NotRequired[dict[str, int]]
    """Names of the numbers, of an enumeration."""
    fields: NotRequired[dict[str, Any]]
    """The attributes that a record consists of, by their names."""
    lengths: NotRequired[list[Count]]
    """Of items of variable length, how many of the items belong to each."""
    items: NotRequired[Any]
    """The attribute that such items are cut out of; of list and map, the attributes in it."""


Attributes = Annotated[
    dict[str, Attribute], Field(description="typed values; vlmeta has them as plain JSON")
]
