"""The directory of a zip file: its size, before anything reads it, and where members lie."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

MAGIC = b"PK"
"""First bytes of a zip file, but for one that has something in front."""
LOCAL = 30
"""Bytes of the header of a member, without its name."""
_END, _END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = 46
"""Bytes of an entry of the directory, without its name."""


class Size(NamedTuple):
    """Number of members, bytes of the directory, and where it begins."""

    members: int
    nbytes: int
    start: int


@dataclass(frozen=True, slots=True)
class Member:
    """What the directory says of a member; sizes and the offset of its header in bytes."""

    name: str
    offset: int
    size: int
    packed: int
    is_stored: bool


@dataclass(frozen=True, slots=True)
class Room:
    """A stored member, and the end of what can be its own."""

    member: Member
    stop: int


def size(file: BinaryIO) -> Size | None:
    """Return the size of the directory, None if it is no zip.

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
    end = start + at
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(b"PK\x06\x07"):
        end = min(_LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2], length)
        file.seek(end)
        large = _END64.unpack(file.read(_END64.size))
        entries, nbytes = large[7], large[8]
    return Size(entries, nbytes, end - nbytes)


def names(directory: bytes) -> Iterator[str]:
    """Yield the names in a directory as far as it can be read."""
    at = 0
    while directory[at : at + 4] == b"PK\x01\x02" and at + _ENTRY <= len(directory):
        sizes = struct.unpack_from("<3H", directory, at + 28)
        yield directory[at + _ENTRY : at + _ENTRY + sizes[0]].decode("utf-8", "replace")
        at += _ENTRY + sum(sizes)


def rooms(members: Iterable[Member], end: int) -> tuple[dict[str, Room], dict[str, str]]:
    """Return the stored members with their rooms, and why others can't be read in place.

    Parameters
    ----------
    members : iterable of Member
    end : int
        Where the directory begins.
    """
    found, refused = dict[str, Room](), dict[str, str]()
    former: Member | None = None
    ordered = sorted(members, key=lambda member: member.offset)
    stops = [*(member.offset for member in ordered[1:]), end]
    for member, stop in zip(ordered, stops, strict=True):
        reason = _reason(member, end)
        if reason:
            refused[member.name] = reason
            continue
        if former is not None and member.offset < _least_end(former):
            refused[former.name] = f"overlaps {member.name[:80]}"
            refused[member.name] = f"overlaps {former.name[:80]}"
        if former is None or _least_end(member) > _least_end(former):
            former = member
        if member.name in found:
            refused[member.name] = "is there more than once"
        found[member.name] = Room(member, stop)
    return {name: room for name, room in found.items() if name not in refused}, refused


def _least_end(member: Member) -> int:
    return member.offset + LOCAL + len(member.name.encode()) + member.packed


def _reason(member: Member, end: int) -> str:
    """Say why a member can't be read in place by itself; empty if it can."""
    if not member.is_stored:
        return "is compressed or encrypted in the zip: only stored members are served"
    if member.size != member.packed:
        return f"claims {member.size} bytes where {member.packed} are stored"
    if not 0 <= member.offset <= _least_end(member) <= end:
        return "does not lie in front of the directory of the zip"
    return ""


def data_start(header: bytes, room: Room) -> int | None:
    """Return where a member's bytes begin, by its own header; None if that is not its header.

    Parameters
    ----------
    header : bytes
        The first `LOCAL` bytes at the member's offset.
    room : Room
    """
    if len(header) != LOCAL or header[:4] != b"PK\x03\x04":
        return None
    start = room.member.offset + LOCAL + sum(struct.unpack_from("<2H", header, 26))
    return start if start + room.member.size <= room.stop else None
