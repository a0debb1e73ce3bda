"""The values format: values as little-endian bytes behind a head in JSON, for browsers.

It begins with the magic and the length of the head in four bytes. The head is padded with blanks
so that the values, which follow in C order, begin at a multiple of 16 bytes: a browser makes a
typed array of them where they are.
"""

from __future__ import annotations

import json
import struct
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from caterva2.errors import BadMessage
from caterva2.limits import constants
from caterva2.rest.shapes import Count, closed
from caterva2.rest.values import dtypes

MEDIA_TYPE: Final = "application/vnd.caterva2.values"
MAGIC: Final = b"C2V\x01"
START: Final = struct.Struct("<4sI")
ALIGNED: Final = 16
Values = npt.NDArray[Any]


@closed
class ValuesHead(TypedDict):
    """Head of the values format; the values are those of a part of a dataset."""

    form: Literal["values"]
    shape: Annotated[list[Count], Field(max_length=constants.NDIM)]
    dtype: dtypes.DType
    etag: str
    """The version of the dataset."""
    kind: Literal["array", "frame", "file"]
    """That of the dataset: items of byte strings are ``|u1``."""


_HEAD: TypeAdapter[ValuesHead] = TypeAdapter(ValuesHead)


def begin(head: Any) -> bytes:
    """Return the magic, the length and the padded head, behind which the values begin."""
    text = json.dumps(head, separators=(",", ":")).encode()
    padded = text.ljust(-(-(START.size + len(text)) // ALIGNED) * ALIGNED - START.size)
    return START.pack(MAGIC, len(padded)) + padded


def head_of(
    kind: Literal["array", "frame", "file"],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    etag: str,
) -> ValuesHead:
    """Return the head of values of a dtype in any byte order; they are sent as little-endian."""
    sent = dtypes.of(little_endian(dtype))
    return {"form": "values", "shape": list(shape), "dtype": sent, "etag": etag, "kind": kind}


def little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype with all its parts little-endian."""
    return dtype.newbyteorder("<")


def packed(values: Values) -> memoryview:
    """Return values as little-endian bytes in C order; a view where they are that already."""
    made = np.ascontiguousarray(values, little_endian(values.dtype))
    return made.reshape(-1).view(np.uint8).data


def read(body: bytes) -> tuple[ValuesHead, Values]:
    """Return the head and the values of a body in the values format.

    Raises
    ------
    BadMessage
        If it is malformed.
    """
    if len(body) < START.size:
        raise BadMessage("the answer is shorter than its beginning")
    magic, length = START.unpack_from(body)
    at = START.size + length
    if magic != MAGIC or at > len(body) or at % ALIGNED:
        raise BadMessage("the answer is not in the values format")
    try:
        head = _HEAD.validate_json(body[START.size : at])
    except ValidationError as error:
        raise BadMessage(f"the head of the values is malformed: {error}") from None
    dtype, shape = dtypes.parse(head["dtype"]), tuple(head["shape"])
    size = dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(body) - at != size:
        raise BadMessage(f"the answer has {len(body) - at} bytes of values, not {size}")
    return head, np.frombuffer(body, dtype, offset=at).reshape(shape)
