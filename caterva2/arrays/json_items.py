"""Items of numpy's dtypes as JSON, without loss: NaN and infinities, complex numbers, bytes.

Floats that JSON lacks are ``"NaN"``, ``"Infinity"``, ``"-Infinity"``, and ``"0x..."``: the bits of
a NaN with another payload, or of a long double that is no double. Complex numbers are pairs, dates
and time differences are numbers of their units or ``"NaT"``, bytes are in base64.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
DType = np.dtype[Any]
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NAT = int(np.iinfo(np.int64).min)


def encode(values: Array) -> list[Any]:
    """Return the items of an array as JSON, in C order.

    Raises
    ------
    ValueError
        If a text is not valid Unicode.
    """
    return _CODECS[values.dtype.kind][0](np.ascontiguousarray(values).reshape(-1))


def decode(items: Sequence[Any], dtype: DType) -> Array:
    """Return the array of items that `encode` made, in one dimension.

    Raises
    ------
    ValueError, TypeError, OverflowError
        If one of them is not an item of the dtype.
    """
    return _CODECS[dtype.kind][1](items, dtype)


def nest(items: list[Any], shape: Sequence[int]) -> Any:
    """Return items in C order as lists within lists; the only one where there is no axis."""
    if not shape:
        return items[0]
    if len(shape) == 1:
        return items
    step = math.prod(shape[1:])
    return [nest(items[n * step : (n + 1) * step], shape[1:]) for n in range(shape[0])]


def flatten(nested: Any, shape: Sequence[int]) -> list[Any]:
    """Return the items of lists within lists, in C order.

    Raises
    ------
    ValueError
        If the lists do not have the shape.
    """
    items = [nested]
    for size in shape:
        if not all(isinstance(row, list | tuple) and len(row) == size for row in items):
            raise ValueError("its values do not have its shape")
        items = [item for row in items for item in row]
    return items


def _expect(items: Sequence[Any], *kinds: type) -> None:
    for item in items:
        if type(item) not in kinds:
            raise TypeError(f"an item is of type {type(item).__name__}")


# --- booleans and integers ---


def _plain(values: Array) -> list[Any]:
    found: list[Any] = values.tolist()
    return found


def _booleans(items: Sequence[Any], dtype: DType) -> Array:
    _expect(items, bool)
    return np.array(items, dtype)


def _integers(items: Sequence[Any], dtype: DType) -> Array:
    _expect(items, int)
    return np.array(items, dtype)


# --- floats ---


def _floats(values: Array) -> list[Any]:
    if values.dtype.itemsize > 8:
        return [_long(value) for value in values]
    found: list[Any] = values.tolist()
    if np.isfinite(values).all():
        return found
    bits = _native(values).view(f"u{values.dtype.itemsize}").tolist()
    usual = int(_usual_nan(values.dtype))
    width = 2 + 2 * values.dtype.itemsize
    return [
        value if math.isfinite(value)
        else f"{one:#0{width}x}" if math.isnan(value) and one != usual
        else _name(value)
        for value, one in zip(found, bits, strict=True)
    ]  # fmt: skip


def _long(value: Any) -> Any:
    with np.errstate(over="ignore"):
        double = float(value)
    if np.isnan(value) or np.isinf(value):
        return _name(double)
    return double if np.longdouble(double) == value else "0x" + _native(value).tobytes()[::-1].hex()


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _usual_nan(dtype: DType) -> Any:
    native = np.array(math.nan, dtype.newbyteorder("="))
    return native.view(f"u{dtype.itemsize}")[()]


def _native(values: Any) -> Array:
    found = np.asarray(values)
    return found.astype(found.dtype.newbyteorder("="))


def _from_floats(items: Sequence[Any], dtype: DType) -> Array:
    native = dtype.newbyteorder("=")
    _expect(items, int, float, str)
    numbers = [_number(item) for item in items]
    with np.errstate(over="ignore"):
        found = np.array(numbers, native)
    if not np.array_equal(np.isfinite(found), np.isfinite(np.array(numbers, float))):
        raise ValueError(f"a number is too large for {dtype}")
    for n, item in enumerate(items):
        if isinstance(item, str) and item.startswith("0x"):
            found[n] = np.frombuffer(_bits(item, dtype.itemsize), native)[0]
    return found.astype(dtype)


def _number(item: Any) -> float:
    if isinstance(item, str):
        if item.startswith("0x"):
            return 0.0  # its bits follow
        if item not in _NAMED:
            raise ValueError(f"{item[:40]!r} is no number")
        return _NAMED[item]
    number = float(item)
    if not math.isfinite(number):
        raise ValueError("NaN and infinities are texts")
    return number


def _bits(text: str, size: int) -> bytes:
    if len(text) != 2 + 2 * size:
        raise ValueError(f"{text[:40]!r} are not the bits of {size} bytes")
    return bytes.fromhex(text[2:])[::-1]


# --- complex numbers ---


def _part(dtype: DType) -> DType:
    return np.dtype(f"{dtype.str[0]}f{dtype.itemsize // 2}")


def _pairs(values: Array) -> list[Any]:
    parts = _floats(values.view(_part(values.dtype)))
    return [list(pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


def _from_pairs(items: Sequence[Any], dtype: DType) -> Array:
    return _from_floats(flatten(list(items), (len(items), 2)), _part(dtype)).view(dtype)


# --- dates and time differences ---


def _dates(values: Array) -> list[Any]:
    counts = values.view(f"{values.dtype.str[0]}i8").tolist()
    return ["NaT" if count == _NAT else count for count in counts]


def _from_dates(items: Sequence[Any], dtype: DType) -> Array:
    counts = [_NAT if item == "NaT" else item for item in items]
    return _integers(counts, np.dtype(f"{dtype.str[0]}i8")).view(dtype)


# --- text and bytes ---


def base64_of(data: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(data).decode()


def from_base64(text: Any) -> bytes:
    """Return the bytes of a text in base64; raise `ValueError` or `TypeError` if it is none."""
    _expect([text], str)
    return base64.b64decode(text, validate=True)


def _bytes(values: Array) -> list[Any]:
    return [base64_of(bytes(value)) for value in values]


def _from_bytes(items: Sequence[Any], dtype: DType) -> Array:
    found = [from_base64(item) for item in items]
    for item in found:
        if len(item) > dtype.itemsize or (dtype.kind == "V" and len(item) != dtype.itemsize):
            raise ValueError(f"an item of {dtype.str} has {len(item)} bytes")
    return np.array(found, dtype)


def checked_text(text: str) -> str:
    """Return a text; raise `ValueError` if it has half a surrogate pair, which UTF-8 lacks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("has a text that is not valid Unicode") from None
    return str(text)


def _texts(values: Array) -> list[Any]:
    return [checked_text(value) for value in values.tolist()]


def _from_texts(items: Sequence[Any], dtype: DType) -> Array:
    _expect(items, str)
    if any(4 * len(item) > dtype.itemsize for item in items):
        raise ValueError(f"a text is longer than {dtype.str} holds")
    return np.array(items, dtype)


Encode = Callable[[Array], list[Any]]
Decode = Callable[[Sequence[Any], DType], Array]
_CODECS: dict[str, tuple[Encode, Decode]] = {
    "b": (_plain, _booleans),
    "i": (_plain, _integers),
    "u": (_plain, _integers),
    "f": (_floats, _from_floats),
    "c": (_pairs, _from_pairs),
    "M": (_dates, _from_dates),
    "m": (_dates, _from_dates),
    "S": (_bytes, _from_bytes),
    "V": (_bytes, _from_bytes),
    "U": (_texts, _from_texts),
}
