"""Consolidated metadata of Zarr: the documents of all that is in a group, in little memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from pydantic_core import to_json

from caterva2.formats.zarr_documents import Document
from caterva2.limits.constants import MIB

_LEVEL = 1


class Consolidated:
    """Documents by their names, as the entries of an object in JSON.

    They are deflated as they come, which leaves a twentieth of them: arrays of a group differ by
    little. The methods take a while for many documents: call them in a thread.

    Attributes
    ----------
    size : int
        Bytes of JSON.
    nbytes : int
        Bytes of memory.
    """

    def __init__(self) -> None:
        self.size = self.nbytes = 0
        self._packed: list[bytes] = []
        self._last = bytearray()

    def add(self, name: str, document: Document) -> None:
        """Add the document of an array or group."""
        before = len(self._last)
        if self.size:
            self._last += b","
        self._last += to_json(name)
        self._last += b":"
        self._last += to_json(document)
        self.size += len(self._last) - before
        self.nbytes += len(self._last) - before
        if len(self._last) >= MIB:
            self._pack()

    def _pack(self) -> None:
        packed = zlib.compress(self._last, _LEVEL)
        self.nbytes += len(packed) - len(self._last)
        self._packed.append(packed)
        self._last = bytearray()

    def pieces(self) -> Iterator[bytes]:
        """Yield the entries, about a megabyte at a time."""
        for packed in self._packed:
            yield zlib.decompress(packed)
        yield bytes(self._last)
