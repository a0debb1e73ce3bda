"""The exchange format: messages of the wire protocol in the body of an answer.

A subscriber that takes its roots from another one sends the header of a request, and gets the
replies to it: for each the length of its header and of its payload, four bytes each and
little-endian, and then both. The last reply ends the body.
"""

from __future__ import annotations

import struct

from caterva2.errors import BadMessage
from caterva2.limits import constants

LENGTHS = struct.Struct("<II")


def begin(header: bytes, payload: int) -> bytes:
    """Return what stands in front of a payload of so many bytes."""
    return LENGTHS.pack(len(header), payload) + header


def lengths(start: bytes | memoryview, most: int) -> tuple[int, int]:
    """Return the lengths of a header and of a payload, which may have ``most`` bytes.

    Raises
    ------
    BadMessage
        If one is too long; then nothing of it has to be read.
    """
    header, payload = LENGTHS.unpack(start)
    if header > constants.HEADER_BYTES:
        raise BadMessage(f"a header of {header} bytes is announced, which is too long")
    if payload > most:
        raise BadMessage(f"{payload} bytes of payload are announced where {most} were asked for")
    return header, payload
