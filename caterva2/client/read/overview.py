"""Overviews: planes and lines that the subscriber made small, in the values format."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.client.errors import Unreachable
from caterva2.client.transport import Query, Transport
from caterva2.rest.values import layout


@dataclass(frozen=True, slots=True)
class Overview:
    """A plane or line of an array, in bins.

    Attributes
    ----------
    values : ndarray
        One or two axes of bins, and with ``minmax`` a last one of the lowest and the highest.
    statistics : mapping
        Of all values, as `Client.stats` returns them but ``std``; with ``full_shape`` and ``bins``.
    etag : str
        The version.
    """

    values: npt.NDArray[Any] = field(repr=False)
    statistics: Mapping[str, Any]
    etag: str

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        return np.array(self.values, dtype, copy=copy)


def read(transport: Transport, path: str, query: Query) -> Overview:
    """Request an overview."""
    answer = transport.request("GET", path, query, {"Accept": layout.MEDIA_TYPE})
    try:
        return _decoded(answer.body)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise Unreachable(f"{path} answered with what is no overview: {error}") from None


def _decoded(body: bytearray) -> Overview:
    magic, length = layout.START.unpack_from(body)
    if magic != layout.MAGIC:
        raise ValueError("it begins with other bytes")
    end = layout.START.size + length
    head = json.loads(body[layout.START.size : end])
    shape, dtype = tuple(head.pop("shape")), np.dtype(head.pop("dtype"))
    if dtype.kind not in "iuf" or (len(body) - end) != math.prod(shape) * dtype.itemsize:
        raise ValueError("the values do not fit to the head")
    values = np.frombuffer(body, dtype, offset=end).reshape(shape)
    dropped = ("form", "kind", "etag")
    known = {name: found for name, found in head.items() if name not in dropped}
    return Overview(values, known, str(head["etag"]))
