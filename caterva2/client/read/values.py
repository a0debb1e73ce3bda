"""Values: a region of one version of a dataset, as numpy values or as a Blosc2 object."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.arrays import selection
from caterva2.client.errors import Unreachable
from caterva2.client.read import frames, stream
from caterva2.client.read.frames import Frame
from caterva2.client.read.region import Place, Region
from caterva2.client.transport import Response, Transport
from caterva2.errors import StaleVersion
from caterva2.rest import paths
from caterva2.rest.paths import relative

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Source:
    """One version of a dataset; a byte string is an array of bytes.

    Parameters
    ----------
    path : str
        With the root.
    version : str
        Empty for any version.
    shape, chunks : tuple of int
    dtype : dtype
    is_bytes : bool
        Whether it is a byte string.
    """

    path: str
    version: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    is_bytes: bool = False


def values(transport: Transport, source: Source, region: Region, field: str = "") -> Values:
    """Read a region, all of it of one version.

    Parameters
    ----------
    transport : Transport
    source : Source
    region : Region
        A large one is read in several requests if it has index arrays, else as one stream.
    field : str
        One field of a structured dtype; all if empty.

    Returns
    -------
    ndarray
        Of the region's ``result_shape``.

    Raises
    ------
    StaleVersion
        If the dataset has another version.
    """
    dtype = source.dtype[field] if field else source.dtype
    if region.size == 0:
        return np.empty(region.result_shape, dtype)
    if (kept := transport.kept.values(source, region, field)) is not None:
        return cast("Values", kept)
    if not region.is_fancy and not field:
        return _part(transport, source, region, field, dtype)
    parts = list(_windows(transport, source, region, dtype.itemsize))
    if len(parts) == 1:
        return _part(transport, source, region, field, dtype)
    result = np.empty(region.result_shape, dtype)
    for part, where in parts:
        result[where] = _part(transport, source, part, field, dtype)
    return result


def frame(transport: Transport, source: Source, region: Region) -> Frame:
    """Read a region as a Blosc2 object: the subscriber's own, if one request is enough."""
    is_plain = not region.is_fancy
    is_stored = is_plain and region.selection.is_whole  # sent without recompression, at any size
    is_small = is_plain and region.size * source.dtype.itemsize <= transport.limits.window
    if region.size and (is_stored or is_small) and not transport.kept.active:
        with transport.ask(relative(paths.FETCH, source.path), region.parameters()) as response:
            _check_version(source, response)
            return frames.parse(response.content())
    found = values(transport, source, region)
    if source.is_bytes:
        return blosc2.SChunk(chunksize=max(found.size, 1), data=found.tobytes() or None)
    return frames.pack(found)


def version_of(etag: str) -> str:
    """Return the version in an entity tag; that of a stored frame has its layout as well."""
    return etag.removeprefix("W/").strip('"').partition("-")[0]


def _windows(
    transport: Transport, source: Source, region: Region, itemsize: int
) -> Iterator[tuple[Region, Place]]:
    """Cut a region into parts for one request each; no chunk is in two of them."""
    limits = transport.limits
    if region.is_fancy:
        yield from region.split(limits.window // itemsize or 1, limits.points)
        return
    plain = region.selection
    if plain.size * itemsize <= limits.window:
        yield region, ()
        return
    max_chunks = max(1, limits.window // (math.prod(source.chunks) * itemsize or 1))
    for part, where in selection.split(plain, source.chunks, max_chunks):
        yield Region(source.shape, part.axes), where


def _check_version(source: Source, response: Response) -> None:
    version = version_of(response.headers.get("ETag", ""))
    if source.version and version and version != source.version:
        raise StaleVersion(f"{source.path} changed while it was read")


def _part(
    transport: Transport, source: Source, region: Region, field: str, dtype: np.dtype[Any]
) -> Values:
    """Read what fits into one request."""
    parameters = region.parameters() | ({"field": field} if field else {})

    def decoded(response: Response) -> Any:
        _check_version(source, response)
        if stream.is_stream(response):
            plain = None if region.is_fancy or field else region.selection
            return stream.Reader(response).values(region.result_shape, plain)
        return frames.decode(frames.parse(response.content()))

    found = stream.read(transport, source.path, parameters, decoded)
    array = np.frombuffer(found, np.uint8) if isinstance(found, bytes) else found
    if array.dtype != dtype or array.size != region.size:
        raise Unreachable(
            f"{source.path}: requested {region.result_shape} of {dtype}, "
            f"received {array.shape} of {array.dtype}"
        )
    return array.reshape(region.result_shape)
