"""The directory of a zip file: where it lies, what it says, and where members lie.

What its records say in two places has to agree: a file that one reader takes for another zip than
the next one does is refused.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from caterva2.errors import SourceCorrupt

MAGIC = b"PK"
"""First bytes of a zip file, but for one that has something in front."""
LOCAL = 30
"""Bytes of the header of a member, without its name."""
BOUNDED_METHODS = frozenset((0, 8))
"""Stored and deflated. Others decompress all that was read at once, which may be gigabytes."""
_END, _END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_WIDE = 0x0001
"""Kind of the extra field with what does not fit into 4 bytes."""
_UTF8, _ENCRYPTED = 0x800, 1
_ALL16, _ALL32, _ALL64 = 2**16 - 1, 2**32 - 1, 2**64 - 1


class Place(NamedTuple):
    """Where the directory lies.

    Attributes
    ----------
    members : int
        Entries that it should have.
    start, nbytes : int
    shift : int
        Bytes in front of the zip, which the offsets in it do not count.
    """

    members: int
    start: int
    nbytes: int
    shift: int


@dataclass(frozen=True, slots=True)
class Member:
    """What the directory says of a member; sizes and the offset of its header in bytes."""

    name: str
    offset: int
    size: int
    packed: int
    is_stored: bool
    crc: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """A stored member, and the end of what can be its own."""

    member: Member
    stop: int


def find(file: BinaryIO) -> Place:
    """Return where the directory lies.

    Raises
    ------
    SourceCorrupt
        If it is no zip, or its records disagree.
    """
    length = file.seek(0, io.SEEK_END)
    start = max(0, length - _END.size - 2**16)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise SourceCorrupt("it is not a zip file")
    _, *given, _ = _END.unpack_from(tail, at)
    end = start + at
    file.seek(max(0, end - _LOCATOR.size))
    locator = file.read(min(end, _LOCATOR.size))
    reached = None
    if locator.startswith(b"PK\x06\x07"):
        end, reached, given = _wide(file, end - _LOCATOR.size, locator, given)
    disk, first, here, members, nbytes, offset = given
    shift = end - nbytes - offset
    if shift < 0 or (reached is not None and reached + shift != end):
        raise SourceCorrupt("the directory of the zip is not where its end says")
    if disk or first or here != members:
        raise SourceCorrupt("the zip is one of several parts")
    return Place(members, offset + shift, nbytes, shift)


def _wide(file: BinaryIO, at: int, locator: bytes, narrow: list[int]) -> tuple[int, int, list[int]]:
    """Return where the larger record of the end lies, where it should, and what it says."""
    _, disk, reached, disks = _LOCATOR.unpack(locator)
    end = at - _END64.size
    file.seek(max(0, end))
    record = file.read(_END64.size)
    if end < 0 or not record.startswith(b"PK\x06\x06") or disk or disks > 1:
        raise SourceCorrupt("the end of the zip has no record in front of its locator")
    _, size, _, _, *given = _END64.unpack(record)
    most = (_ALL16,) * 4 + (_ALL32,) * 2
    agree = (small in (large, top) for small, large, top in zip(narrow, given, most, strict=True))
    if size != _END64.size - 12 or not all(agree):
        raise SourceCorrupt("the two records of the end of the zip disagree")
    return end, reached, given


def names(directory: bytes) -> Iterator[str]:
    """Yield the names in a directory as far as it can be read."""
    at = 0
    while directory[at : at + 4] == b"PK\x01\x02" and at + _ENTRY.size <= len(directory):
        sizes = struct.unpack_from("<3H", directory, at + 28)
        yield directory[at + _ENTRY.size : at + _ENTRY.size + sizes[0]].decode("utf-8", "replace")
        at += _ENTRY.size + sum(sizes)


def members(directory: bytes, place: Place) -> Iterator[Member]:
    """Yield the members in a directory, as many as it should have.

    Raises
    ------
    SourceCorrupt
        If it has fewer or more, or one of them makes no sense.
    """
    at = 0
    for n in range(place.members):
        if directory[at : at + 4] != b"PK\x01\x02" or at + _ENTRY.size > len(directory):
            raise SourceCorrupt(f"the directory of the zip has {n} members, not {place.members}")
        fields = _ENTRY.unpack_from(directory, at)
        flags, method, crc = fields[3], fields[4], fields[7]
        ends = [at + _ENTRY.size]
        for size in fields[10:13]:
            ends.append(ends[-1] + size)
        if ends[-1] > len(directory):
            raise SourceCorrupt("the directory of the zip is cut off")
        name = _name(directory[ends[0] : ends[1]], flags)
        extra = directory[ends[1] : ends[2]]
        size, packed, offset = _widened(extra, fields[9], fields[8], fields[16])
        stored = method == 0 and not flags & _ENCRYPTED
        yield Member(name, offset + place.shift, size, packed, stored, crc)
        at = ends[-1]
    if at != len(directory):
        raise SourceCorrupt(f"the directory of the zip has more than {place.members} members")


def _name(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        raise SourceCorrupt(f"the zip has a name that is not UTF-8: {raw[:80]!r}") from None
    return name.partition("\0")[0]


def _widened(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return sizes and offset of a member, by its extra fields where these have them."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        data, extra = extra[4 : 4 + length], extra[4 + length :]
        if len(data) != length:
            raise SourceCorrupt("an extra field in the directory of the zip is cut off")
        if kind != _WIDE:
            continue
        wanted = [size in (_ALL32, _ALL64), packed == _ALL32, offset == _ALL32]
        if length < 8 * sum(wanted):
            raise SourceCorrupt("an extra field in the directory of the zip is too short")
        found = iter(struct.unpack_from(f"<{sum(wanted)}Q", data))
        size, packed, offset = (
            next(found) if wide else value
            for value, wide in zip((size, packed, offset), wanted, strict=True)
        )
    return size, packed, offset


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
