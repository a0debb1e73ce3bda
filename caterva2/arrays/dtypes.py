"""Parser of dtype strings from outside, by a grammar that allows plain data only.

A dtype is ``[<>=|]?[biufcSUVMm?]size`` (with a unit for dates), a plain name such as
``float64``, or the ``repr`` of a list of ``(name, dtype[, shape])`` fields. A name may have
a title, ``(title, name)``, which is dropped.
"""

from __future__ import annotations

import ast
import functools
import re

import numpy as np

from caterva2.errors import BadMessage
from caterva2.limits import constants

_SIMPLE = re.compile(r"[<>=|]?(?:[biufcSUV][0-9]{1,6}|[Mm]8(?:\[[0-9]{0,4}[A-Za-z]{1,2}\])?|\?)")
_NAMED = re.compile(
    r"bool|(?:u?int|float|complex)[0-9]{1,3}|(?:datetime|timedelta)64(?:\[[0-9]{0,4}[A-Za-z]{1,2}\])?"
)
_TOKEN = re.compile(
    r"""\s+|[(),]|(?P<open>\[)|(?P<close>\])|[0-9]{1,6}|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
)
NESTING = 32
"""Lists of fields in each other."""


def parse(text: str) -> np.dtype[np.generic]:
    """Return the numpy dtype of a dtype string.

    Raises
    ------
    BadMessage
        If the string is outside of the grammar, holds objects, or is larger than
        `constants.ITEMSIZE` bytes an item.
    """
    if not isinstance(text, str):
        raise BadMessage(f"a dtype is a string, not {type(text).__name__}")
    if len(text) > constants.DTYPE_LENGTH:
        raise BadMessage(f"dtype string of {len(text)} characters is too long")
    return _parsed(text)


@functools.lru_cache(maxsize=256)  # each read of a dataset parses its dtype
def _parsed(text: str) -> np.dtype[np.generic]:
    try:
        dtype = _struct(text) if text.startswith("[") else _simple(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise BadMessage(f"dtype {text[:80]!r} is not allowed: {error}") from None
    if dtype.hasobject or not 0 < dtype.itemsize <= constants.ITEMSIZE:
        raise BadMessage(f"dtype {text[:80]!r} has items that are empty or too large")
    return dtype


def describe(dtype: np.dtype[np.generic]) -> str:
    """Return the string that Blosc2 stores for a dtype; `parse` reads it back."""
    return repr(dtype.descr) if dtype.fields else dtype.str


def display(dtype: np.dtype[np.generic]) -> str:
    """Return the string for REST clients: ``int64``, ``<U6``, ``[('a', '<i4')]``."""
    return str(dtype)


@functools.lru_cache(maxsize=256)
def displayed(text: str) -> str:
    """Return what `display` makes of a dtype string; raise as `parse` does."""
    return display(parse(text))


def _simple(text: str) -> np.dtype[np.generic]:
    if not (_SIMPLE.fullmatch(text) or _NAMED.fullmatch(text)):
        raise ValueError("not in the grammar")
    return np.dtype(text)


def _struct(text: str) -> np.dtype[np.generic]:
    count = 0

    def field(item: object) -> tuple[object, ...]:
        nonlocal count
        count += 1
        if count > constants.DTYPE_FIELDS:
            raise ValueError("too many fields")
        if not isinstance(item, tuple) or len(item) not in (2, 3):
            raise ValueError("a field is (name, dtype) or (name, dtype, shape)")
        name = _name(item[0])
        inner = fields(item[1]) if isinstance(item[1], list) else _simple(str(item[1]))
        if len(item) == 2:
            return (name, inner)
        shape = item[2] if isinstance(item[2], tuple) else (item[2],)
        if not all(isinstance(n, int) and 0 < n <= constants.ITEMSIZE for n in shape):
            raise ValueError("a field's shape has positive sizes")
        return (name, inner, shape)

    def fields(items: list[object]) -> np.dtype[np.generic]:
        return np.dtype([field(item) for item in items])

    _check_tokens(text)
    parsed = ast.literal_eval(text)
    if not isinstance(parsed, list):
        raise ValueError("not a list of fields")
    return fields(parsed)


def _name(given: object) -> str:
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
        given = given[1]  # the other one is a title
    if not isinstance(given, str):
        raise ValueError("a field's name is a string, or (title, name)")
    return given


def _check_tokens(text: str) -> None:
    """Refuse what no list of fields contains, before it is parsed: operators, deep nesting.

    Without them the time and memory that parsing takes grow with the length only.
    """
    at = depth = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"{text[at : at + 20]!r} at {at} is no part of a list of fields")
        depth += (token["open"] is not None) - (token["close"] is not None)
        if depth > NESTING:
            raise ValueError(f"fields are nested deeper than {NESTING} levels")
        at = token.end()
