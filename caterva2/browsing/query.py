"""What a search looks for: words of paths, dtypes, shapes and attributes."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from caterva2.arrays import dtypes
from caterva2.browsing.facts import TEXT, Facts
from caterva2.errors import BadMessage, BadRequest
from caterva2.limits import constants
from caterva2.names import DatasetPath

LENGTH: Final = 1024
"""Characters of a parameter."""
WORDS: Final = 16
"""Words of a query."""
Filter = Callable[[Facts], bool]
_KINDS: Final = {
    "bool": "b", "int": "i", "uint": "u", "float": "f", "complex": "c", "bytes": "S", "text": "U",
    "date": "M", "duration": "m", "record": "V",
}  # fmt: skip
"""Names of all dtypes of a kind."""


@dataclass(frozen=True, slots=True)
class Query:
    """A search: words that a path has, all of them, and filters of descriptions."""

    words: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()

    def named(self, paths: Sequence[DatasetPath]) -> list[DatasetPath]:
        """Return those of the paths that have all words, whatever their case."""
        found = list(paths)
        for word in self.words:
            found = [path for path in found if word in path.casefold()]
        return found

    def fits(self, facts: Facts) -> bool:
        """Return whether a dataset passes all filters."""
        return facts.described and all(one(facts) for one in self.filters)


def parse(
    q: str = "", dtype: str = "", ndim: str | None = None, shape: str = "", attr: str = ""
) -> Query:
    """Parse the parameters of a search; texts that are empty look for nothing.

    Raises
    ------
    BadRequest
    """
    given = {"q": q, "dtype": dtype, "ndim": ndim, "shape": shape, "attr": attr}
    for name, text in given.items():
        if len(text or "") > LENGTH:
            raise BadRequest(f"{name} has {len(text or '')} characters, {LENGTH} are the most")
    words = tuple(dict.fromkeys(q.casefold().split()))
    if len(words) > WORDS:
        raise BadRequest(f"q has {len(words)} words, {WORDS} are the most")
    axes = () if ndim is None else (_of_ndim(ndim),)
    makers = ((dtype, _of_dtype), (shape, _of_shape), (attr, _of_attribute))
    return Query(words, axes + tuple(make(text) for text, make in makers if text))


def _of_dtype(text: str) -> Filter:
    kind = _KINDS.get(text)
    try:
        wanted = None if kind else _native(text)
    except BadMessage as error:
        known = ", ".join(_KINDS)
        raise BadRequest(f"{error.detail}; a dtype is as <f4, float32, or one of {known}") from None

    @functools.cache  # datasets have few dtypes
    def is_wanted(stored: str) -> bool:
        try:
            dtype = _native(stored)
        except BadMessage:  # a publisher may send anything
            return False
        return dtype.kind == kind if kind else dtype == wanted

    return lambda facts: facts.dtype != "" and is_wanted(facts.dtype)


def _native(text: str) -> np.dtype[np.generic]:
    """Return a dtype in this machine's byte order: the order of stored bytes does not matter."""
    return dtypes.parse(text).newbyteorder("=")


def _of_ndim(text: str) -> Filter:
    if not re.fullmatch("[0-9]{1,2}", text) or int(text) > constants.NDIM:
        raise BadRequest(f"ndim={text[:40]!r} is no number of axes up to {constants.NDIM}")
    wanted = int(text)
    return lambda facts: facts.dtype != "" and len(facts.shape) == wanted


def _of_shape(text: str) -> Filter:
    sizes = [one.strip() for one in text.strip().removesuffix(",").split(",")]
    if len(sizes) > constants.NDIM or not all(re.fullmatch(r"[0-9]{1,19}|\*", s) for s in sizes):
        raise BadRequest(f"shape={text[:80]!r} is not as 100,*,3 with * for any size")
    wanted = [None if size == "*" else int(size) for size in sizes]

    def fits(facts: Facts) -> bool:
        if facts.dtype == "" or len(facts.shape) != len(wanted):
            return False
        return all(
            size is None or size == own for size, own in zip(wanted, facts.shape, strict=True)
        )

    return fits


def _of_attribute(text: str) -> Filter:
    name, has_value, value = text.partition("=")
    if not has_value:
        return lambda facts: name in facts.attrs
    number = _number(value)

    def fits(facts: Facts) -> bool:
        own = facts.attrs.get(name)
        if own is None:
            return False
        return own == value[:TEXT] or (number is not None and _number(own) == number)

    return fits


def _number(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        return float(text)
    return None
