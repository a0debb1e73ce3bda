"""The size of a zip's directory, by its end, before anything reads it into memory."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

_END, _END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")


def size(file: BinaryIO) -> tuple[int, int] | None:
    """Return the number of members and the bytes of the directory, None if it is no zip.

    Raises
    ------
    struct.error
        If it is cut off.
    """
    length = file.seek(0, io.SEEK_END)
    start = max(0, length - _END.size - 2**16)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        return None
    _, _, _, _, entries, nbytes, _, _ = _END.unpack_from(tail, at)
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(b"PK\x06\x07"):
        where = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2]
        file.seek(min(where, length))
        large = _END64.unpack(file.read(_END64.size))
        entries, nbytes = large[7], large[8]
    return entries, nbytes
