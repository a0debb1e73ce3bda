"""Metadata of a frame: its vlmeta, and the marks of frames that do not contain their data.

vlmeta values are decoded by a bounded msgpack decoder: the one of python-blosc2 can rebuild arrays,
expressions and references, and a value from outside must stay a value. Complex numbers, sets and
tuples in its format are plain data and are decoded.
"""

from __future__ import annotations

import functools
import logging
import math
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgpack

from caterva2.errors import SourceCorrupt
from caterva2.frames import layout
from caterva2.limits import constants
from caterva2.names import is_reserved_metalayer
from caterva2.runtime.printable import printable

log = logging.getLogger(__name__)

NDARRAY = 46
"""Extension code of python-blosc2's msgpack_utils for an array of numpy."""
_COMPLEX, _SET = 44, 45  # extension codes of python-blosc2's msgpack_utils
Extensions = Mapping[int, Callable[[bytes, int], Any]]
_LAZY, _OBJECT, _PROXY = "LazyArray", "b2o", "proxy-source"
"""Metalayers of python-blosc2's frames whose data is elsewhere; their chunks hold none."""
_OF_OBJECTS = ("vlarray", "batcharray")
"""Metalayers of frames with objects in their chunks, which may happen to be of one size."""
NAMED, SHOWN = 3, 80
"""Metalayers that a line of the log names, and characters of each name."""


def check_stored(metalayers: dict[str, bytes]) -> None:
    """Refuse a frame that only refers to its values, or has objects in its chunks.

    Blosc2 stores expressions, functions and references as arrays that were never written: they
    would read as zeros.

    Raises
    ------
    SourceCorrupt
        If the metalayers mark such a frame.
    """
    if _PROXY in metalayers:
        raise SourceCorrupt("it is a proxy of data elsewhere, not that data, so it is not served")
    kind = _object_kind(metalayers[_OBJECT]) if _OBJECT in metalayers else ""
    if _LAZY in metalayers or kind.startswith("lazy"):
        raise SourceCorrupt(f"it is computed, not stored ({kind or _LAZY}), so it is not served")
    if not metalayers.keys().isdisjoint(_OF_OBJECTS):
        raise SourceCorrupt("it has items of variable length, so it is not served")
    if kind:
        raise SourceCorrupt(f"it refers to data elsewhere ({kind}), so it is not served")


def of_users(metalayers: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the metalayers of a frame that are data of its users, as far as they are bounded.

    Those with names that Blosc2's own software acts on are left out, as are those that
    python-blosc2 would make more than plain values of.
    """
    return sorted_out(metalayers)[0]


def sorted_out(metalayers: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the metalayers that are data of users, and of all others the reasons why not."""
    kept, refused = dict[str, bytes](), dict[str, str]()
    room = constants.METALAYER_BYTES
    for name, packed in metalayers.items():
        if name == "b2nd":
            continue
        if is_reserved_metalayer(name):
            refused[name] = "has a name that Blosc2 acts on"
        elif not 0 < len(name.encode()) <= constants.METALAYER_NAME:
            refused[name] = f"has a name of other than 1 to {constants.METALAYER_NAME} bytes"
        elif not is_plain(packed):
            refused[name] = "is no plain value"
        elif len(packed) > room:
            refused[name] = f"does not fit in {constants.METALAYER_BYTES} bytes with the others"
        elif len(kept) >= constants.METALAYER_ITEMS:
            refused[name] = f"comes after {constants.METALAYER_ITEMS} others"
        else:
            kept[name], room = packed, room - len(packed)
    return kept, refused


def tell_left_out(path: str, etag: str, refused: Mapping[str, str]) -> None:
    """Log which metalayers of a version of a frame are left out, in one line, once."""
    names = [f"{name[:SHOWN]!r}, which {reason}" for name, reason in refused.items()]
    more = len(names) - NAMED
    shown = "; ".join(names[:NAMED]) + (f"; and {more} more" if more > 0 else "")
    if names:
        _log_once(path, etag, shown)


@functools.lru_cache(maxsize=4096)
def _log_once(path: str, _: str, what: str) -> None:
    log.warning("%s", printable(f"{path} is served without its metalayers {what}"))


def check_metalayers(metalayers: Mapping[str, bytes]) -> None:
    """Refuse a frame with metalayers that Blosc2's own software acts on, but for that of arrays.

    Raises
    ------
    SourceCorrupt
        If there is one; the error names it.
    """
    for name, packed in metalayers.items():
        if name != "b2nd" and (is_reserved_metalayer(name) or not is_plain(packed)):
            raise SourceCorrupt(f"its metalayer {name[:80]!r} is one that Blosc2 may act on")


def is_plain(packed: bytes) -> bool:
    """Return whether a metalayer is a plain value, and no extension such as an expression."""
    try:
        decode(packed, _NOT_PLAIN)
    except SourceCorrupt:
        return False
    return True


def check_head(head: bytes, size: int, chunk_bytes: int | None = None) -> layout.FrameHeader | None:
    """Check the first bytes of a frame; return its header, None if they have not all of it.

    Parameters
    ----------
    head : bytes
    size : int
        Bytes of the file.
    chunk_bytes : int, optional
        Bytes of the files that have the chunks of a sparse frame.

    Raises
    ------
    SourceCorrupt
        If it can't be served.
    """
    length = layout.header_length(head)
    if length > len(head):
        return None
    header = layout.parse_header(head[:length], chunk_bytes)
    if header.frame_length > size + (chunk_bytes or 0):
        raise SourceCorrupt("the file is shorter than the frame in it")
    check_stored(header.metalayers)
    return header


def _object_kind(marker: bytes) -> str:
    try:
        value = decode(marker)
    except SourceCorrupt:
        value = None
    kind = value.get("kind") if isinstance(value, dict) else None
    return kind[:40] if isinstance(kind, str) and kind.isidentifier() else _OBJECT


def _refuse(_: bytes, __: int) -> Any:
    raise SourceCorrupt("it is no plain value")


def _nested(packed: bytes, depth: int) -> Any:
    return _decode(packed, _NOT_PLAIN, depth)


_NOT_PLAIN: Extensions = dict.fromkeys(range(-128, 128), _refuse) | {NDARRAY: _nested}


def encode(value: Any) -> bytes:
    """Encode a plain Python value as one vlmeta entry.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the value is not plain, or a number is too large.
    """

    def extension(other: Any) -> msgpack.ExtType:
        if isinstance(other, complex):
            return msgpack.ExtType(_COMPLEX, struct.pack(">dd", other.real, other.imag))
        raise TypeError(f"{type(other).__name__} is not a plain value")

    packed: bytes = msgpack.packb(value, default=extension)
    return packed


def decode(packed: bytes, extensions: Extensions = MappingProxyType({}), depth: int = 0) -> Any:
    """Return the plain Python value of one vlmeta entry.

    An extension that is not plain data becomes a text that names it.

    Parameters
    ----------
    packed : bytes
    extensions : mapping of int to callable, optional
        What to do with the data of other extensions by their codes, at a depth of nesting.
    depth : int
        That of the value itself.

    Raises
    ------
    SourceCorrupt
        If it is not msgpack, too deep or too large.
    """
    if len(packed) > constants.VLMETA_BYTES:
        raise SourceCorrupt(f"metadata value of {len(packed)} bytes is too large")
    value = _decode(packed, extensions, depth)
    _check_depth(value)
    return value


def decode_all(vlmeta: dict[str, bytes]) -> dict[str, Any]:
    """Decode all entries of a dataset's vlmeta."""
    return {name: decode(packed) for name, packed in vlmeta.items()}


def _decode(packed: bytes, extensions: Extensions, depth: int) -> Any:
    def extension(code: int, data: bytes) -> Any:
        if code == _COMPLEX and len(data) == 16:
            return complex(*struct.unpack(">dd", data))
        if code == _SET:
            return _decode(bytes(data), extensions, depth + 1)
        if code in extensions:
            return extensions[code](bytes(data), depth + 1)
        return f"<msgpack extension {code}, {len(data)} bytes>"

    if depth > constants.METADATA_DEPTH:
        raise SourceCorrupt("metadata is nested too deep")
    try:
        return msgpack.unpackb(
            packed, ext_hook=extension, list_hook=_tuple, strict_map_key=False, raw=False
        )
    except (ValueError, RecursionError, TypeError, msgpack.UnpackException) as error:
        raise SourceCorrupt(f"metadata can't be read: {error}") from None


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(constants.METADATA_DEPTH):
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list | tuple | set)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise SourceCorrupt("metadata is nested too deep")


def _tuple(items: list[Any]) -> Any:
    marked = bool(items) and isinstance(items[0], str) and items[0] == "__tuple__"
    return tuple(items[1:]) if marked else items


def jsonable(value: Any) -> Any:
    """Return the nearest JSON value: bytes as text, complex as a pair, keys as strings."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, complex):
        return [jsonable(value.real), jsonable(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
