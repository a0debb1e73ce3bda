"""The one place where a part of a dataset becomes values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2 import limits
from caterva2.arrays import selection
from caterva2.client.http.connections import Unreachable
from caterva2.client.http.transport import Answer, Transport
from caterva2.client.read import stream
from caterva2.client.read.region import Place, Region
from caterva2.errors import SourceCorrupt, StaleVersion
from caterva2.frames import layout

Values = npt.NDArray[Any]
Frame: TypeAlias = blosc2.NDArray | blosc2.SChunk


@dataclass(frozen=True, slots=True)
class Source:
    """One version of a dataset; a byte string is an array of bytes.

    Parameters
    ----------
    path : str
        With the root.
    version : str
        Empty for whatever the subscriber has.
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


def values(transport: Transport, source: Source, pick: Region, field: str = "") -> Values:
    """What a pick selects, all of it of one version.

    Parameters
    ----------
    transport : Transport
    source : Source
    pick : Region
        A large one comes as a stream, or in several requests where it has index arrays.
    field : str
        One field of a structured dtype, not all.

    Returns
    -------
    ndarray
        Of the pick's ``result_shape``.

    Raises
    ------
    StaleVersion
        If the dataset is not that version any more.
    """
    dtype = source.dtype[field] if field else source.dtype
    if pick.size == 0:
        return np.empty(pick.result_shape, dtype)
    streamed = not pick.is_fancy and not field
    parts = [(pick, ())] if streamed else list(_windows(source, pick, dtype.itemsize))
    if len(parts) == 1:
        return _part(transport, source, pick, field, dtype)
    result = np.empty(pick.result_shape, dtype)
    for part, where in parts:
        result[where] = _part(transport, source, part, field, dtype)
    return result


def frame(transport: Transport, source: Source, pick: Region) -> Frame:
    """A pick as a Blosc2 object: as the subscriber sent it, if one request is enough."""
    stored = not pick.is_fancy and pick.selection.is_whole  # is sent as it is, whatever its size
    if pick.size and (stored or _is_small(source, pick)):
        return opened(_ask(transport, source, pick))
    found = values(transport, source, pick)
    if source.is_bytes:
        return blosc2.SChunk(chunksize=max(found.size, 1), data=found.tobytes() or None)
    return packed(found)


def unseen(transport: Transport, path: str, key: Any) -> Any:
    """Values of a dataset of which nothing is known yet, or the bytes of a byte string."""
    text = selection.to_string(key)
    parameters = {"slice_": text} if text else {}
    with transport.asking(f"api/fetch/{path}", parameters, stream.ACCEPT) as response:
        if not stream.is_stream(response):
            return decoded(opened(transport.answer(response)))
        found, kind = stream.Reader(response).all_of(() if key is None else key)
        return found if kind == "array" else found.tobytes()


def packed(found: Values) -> blosc2.NDArray:
    """Values as a Blosc2 array."""
    # Contiguous, since else Blosc2 makes a broken frame of items over 255 bytes.
    return blosc2.asarray(found, contiguous=True)


def request(transport: Transport, path: str, parameters: dict[str, str]) -> Answer:
    """Ask for a part of a dataset."""
    return transport.ask(f"api/fetch/{path}", parameters)


def opened(answer: Answer) -> Frame:
    """The frame of an answer, as the one of two kinds that a subscriber sends, in its memory."""
    body = answer.body
    try:
        header = bytes(body[: layout.header_length(bytes(body[: layout.HEADER_MIN]))])
        if "b2nd" in layout.parse_header(header).metalayers:
            return blosc2.ndarray_from_cframe(body)
        return blosc2.schunk_from_cframe(body)
    except (RuntimeError, ValueError, SourceCorrupt) as error:
        raise Unreachable(f"the subscriber sent no frame: {error}") from None


def decoded(found: Frame) -> Any:
    """The values of a frame: an array, or the bytes of a byte string."""
    if isinstance(found, blosc2.NDArray):
        # A string or record of one item loses its width without the dtype.
        return np.asarray(found[()], found.dtype)
    return b"".join(found.decompress_chunk(n) for n in range(found.nchunks))


def version_of(etag: str) -> str:
    """The version that an entity tag tells of; a stored frame's has its layout as well."""
    return etag.removeprefix("W/").strip('"').partition("-")[0]


def _is_small(source: Source, pick: Region) -> bool:
    return not pick.is_fancy and pick.size * source.dtype.itemsize <= limits.CLIENT_WINDOW


def _windows(source: Source, pick: Region, itemsize: int) -> Iterator[tuple[Region, Place]]:
    """Parts of which each is small enough for one request; chunks are asked for once."""
    window = limits.CLIENT_WINDOW
    if pick.is_fancy:
        yield from pick.split(window // itemsize or 1)
        return
    plain = pick.selection
    if plain.size * itemsize <= window:
        yield pick, ()
        return
    most = max(1, window // (math.prod(source.chunks) * itemsize or 1))
    for part, where in selection.split(plain, source.chunks, most):
        yield Region(source.shape, part.axes), where


def _ask(transport: Transport, source: Source, pick: Region) -> Answer:
    """The answer to one request, of the right version."""
    answer = request(transport, source.path, pick.parameters())
    _check_version(source, answer.headers.get("etag", ""))
    return answer


def _check_version(source: Source, etag: str) -> None:
    version = version_of(etag)
    if source.version and version and version != source.version:
        raise StaleVersion(f"{source.path} changed while it was read")


def _part(
    transport: Transport, source: Source, pick: Region, field: str, dtype: np.dtype[Any]
) -> Values:
    """The values of one request."""
    parameters = pick.parameters() | ({"field": field} if field else {})
    with transport.asking(f"api/fetch/{source.path}", parameters, stream.ACCEPT) as response:
        _check_version(source, response.headers.get("ETag", ""))
        if stream.is_stream(response):
            plain = None if pick.is_fancy or field else pick.selection
            found: Any = stream.Reader(response).values(pick.result_shape, plain)
        else:
            found = decoded(opened(transport.answer(response)))
    array = np.frombuffer(found, np.uint8) if isinstance(found, bytes) else found
    if array.dtype != dtype or array.size != pick.size:
        raise Unreachable(
            f"{source.path}: asked for {pick.result_shape} of {dtype}, "
            f"got {array.shape} of {array.dtype}"
        )
    return array.reshape(pick.result_shape)
