"""Frames that are embedded in the data of another frame, as python-blosc2's ``.b2e`` has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

import blosc2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from caterva2.errors import BadName, SourceCorrupt
from caterva2.formats.blosc2_trees import ARRAY, FRAME
from caterva2.frames import layout, metadata
from caterva2.frames.chunk import stored_size
from caterva2.frames.reader import FrameReader
from caterva2.limits import constants
from caterva2.names import DatasetPath
from caterva2.stores import archive
from caterva2.stores.store import Stamp, Store, span

LEAVES = "estore_metadata"
"""The entry of vlmeta that says where the leaves are."""
CHUNK_BYTES = 2**24
"""Bytes of a chunk that leaves lie in: all of it is decoded for any of its bytes."""
READ_BYTES = 2**28
"""Bytes of a leaf that are read together."""
_Count = Annotated[int, Field(ge=0, lt=2**62)]
Outer = Callable[[], tuple[FrameReader, Stamp]]


class _Place(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")
    offset: _Count
    length: _Count


class _Places(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")
    embed_map: dict[str, _Place] = {}


class EmbeddedStore(Store):
    """The leaves in a frame; an array is ``NAME.b2nd``, a byte string ``NAME.b2f``.

    Their frames are read where they lie in the decoded data, so that their chunks stay as they are.

    Parameters
    ----------
    outer : callable
        Returns the current version of the frame.
    """

    def __init__(self, outer: Outer) -> None:
        self._outer = outer
        self._opened: _Opened | None = None

    @property
    def refused(self) -> Mapping[str, str]:
        return self._current().refused

    def _current(self) -> _Opened:
        frame, stamp = self._outer()
        opened = self._opened
        if opened is None or opened.outer != stamp:
            opened = self._opened = _Opened(frame, stamp)
        return opened

    def children(self, prefix: str) -> tuple[dict[str, Stamp], list[str]]:
        return self._current().tree.get(prefix, ({}, []))

    def read(
        self,
        key: str,
        most: int,
        start: int = 0,
        stop: int | None = None,
        expected: Stamp | None = None,
    ) -> tuple[bytes, Stamp] | None:
        opened = self._current()
        place = opened.places.get(key)
        if place is None:
            return None
        begin, end = span(key, place.length, min(most, READ_BYTES), start, stop)
        data = opened.data(place.offset + begin, place.offset + end)
        return data, opened.stamp(place)


class _Opened:
    """A version of the frame, with the places of its leaves."""

    def __init__(self, frame: FrameReader, outer: Stamp) -> None:
        self.outer = outer
        self._frame = frame
        if frame.header.chunksize > CHUNK_BYTES:
            raise SourceCorrupt(f"its chunks have {frame.header.chunksize} bytes, too many")
        self.refused: dict[str, str] = {}
        self.places = dict(self._named(_places(frame)))
        self.tree = archive.tree((key, self.stamp(place)) for key, place in self.places.items())

    def stamp(self, place: _Place) -> Stamp:
        text = f"{self.outer.text} {place.offset} {place.length}"
        return Stamp(text, place.length, self.outer.mtime, self.outer.changed)

    def _named(self, places: Mapping[str, _Place]) -> Iterator[tuple[str, _Place]]:
        """Yield the keys of leaves with their places; say why others have none."""
        for name, place in places.items():
            try:
                key = DatasetPath(name.removeprefix("/") + self._suffix(place))
            except (BadName, SourceCorrupt) as error:
                self.refused[name] = error.detail
            else:
                yield key, place

    def _suffix(self, place: _Place) -> str:
        if place.offset + place.length > self._frame.header.nbytes:
            raise SourceCorrupt("lies behind the data of the frame that embeds it")
        least = min(place.length, layout.HEADER_MIN)
        length = layout.header_length(self.data(place.offset, place.offset + least))
        if length > place.length:
            raise SourceCorrupt("is shorter than its header")
        header = layout.parse_header(self.data(place.offset, place.offset + length))
        return ARRAY if "b2nd" in header.metalayers else FRAME

    def data(self, start: int, stop: int) -> bytes:
        """Return decoded bytes of the frame."""
        size = self._frame.header.chunksize
        if start >= stop:
            return b""
        first = start // size
        pieces = []
        for run in self._frame.runs(range(first, -(-stop // size))):
            left = memoryview(run.payload)
            while left:
                length = stored_size(left)
                pieces.append(_decoded(bytes(left[:length])))
                left = left[length:]
        return b"".join(pieces)[start - first * size : stop - first * size]


def _decoded(chunk: bytes) -> bytes:
    try:
        data: bytes = blosc2.decompress2(chunk, nthreads=1)
    except (RuntimeError, ValueError) as error:
        raise SourceCorrupt(f"a chunk can't be decompressed: {error}") from None
    return data


def _places(frame: FrameReader) -> Mapping[str, _Place]:
    packed = frame.vlmeta().get(LEAVES)
    try:
        found = _Places.model_validate({} if packed is None else metadata.decode(packed))
    except ValidationError as error:
        raise SourceCorrupt(f"its list of leaves can't be read: {error.title}") from None
    if len(found.embed_map) > constants.CHUNK_COUNT:
        raise SourceCorrupt("it has too many leaves")
    return found.embed_map
