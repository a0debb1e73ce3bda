"""What a search looks for: words of paths, dtypes, shapes and attributes."""

from __future__ import annotations

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
Structure = Callable[[str, tuple[int, ...]], bool]
"""Whether a dtype and a shape fit; the dtype of a byte string is empty."""
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
    structures: tuple[Structure, ...] = ()
    attributes: tuple[Filter, ...] = ()

    @property
    def needs_facts(self) -> bool:
        """Whether names do not suffice."""
        return bool(self.structures or self.attributes)

    def named(self, paths: Sequence[DatasetPath]) -> list[DatasetPath]:
        """Return those of the paths that have all words, whatever their case."""
        found = list(paths)
        for word in self.words:
            found = [path for path in found if word in path.casefold()]
        return found

    def filter(self) -> Filter:
        """Return a function that says whether a dataset passes all filters."""
        known: dict[tuple[str, tuple[int, ...]], bool] = {}  # datasets have few dtypes and shapes
        structures, attributes = self.structures, self.attributes

        def fits(facts: Facts) -> bool:
            key = facts.dtype, facts.shape
            fitting = known.get(key)
            if fitting is None:
                fitting = known[key] = all(one(*key) for one in structures)
            if not fitting:
                return False
            for one in attributes:  # noqa: SIM110 - all() would make a generator for each dataset
                if not one(facts):
                    return False
            return True

        return fits


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
    structures = [make(text) for text, make in ((dtype, _of_dtype), (shape, _of_shape)) if text]
    if ndim is not None:
        structures.append(_of_ndim(ndim))
    return Query(words, tuple(structures), (_of_attribute(attr),) if attr else ())


def _of_dtype(text: str) -> Structure:
    kind = _KINDS.get(text)
    try:
        wanted = None if kind else _native(text)
    except BadMessage as error:
        known = ", ".join(_KINDS)
        raise BadRequest(f"{error.detail}; a dtype is as <f4, float32, or one of {known}") from None

    def fits(stored: str, _: tuple[int, ...]) -> bool:
        try:
            dtype = _native(stored) if stored else None
        except BadMessage:  # a publisher may send anything
            return False
        return dtype is not None and (dtype.kind == kind if kind else dtype == wanted)

    return fits


def _native(text: str) -> np.dtype[np.generic]:
    """Return a dtype in this machine's byte order: the order of stored bytes does not matter."""
    return dtypes.parse(text).newbyteorder("=")


def _of_ndim(text: str) -> Structure:
    if not re.fullmatch("[0-9]{1,2}", text) or int(text) > constants.NDIM:
        raise BadRequest(f"ndim={text[:40]!r} is no number of axes up to {constants.NDIM}")
    wanted = int(text)
    return lambda dtype, shape: dtype != "" and len(shape) == wanted


def _of_shape(text: str) -> Structure:
    sizes = [one.strip() for one in text.strip().removesuffix(",").split(",")]
    if len(sizes) > constants.NDIM or not all(re.fullmatch(r"[0-9]{1,19}|\*", s) for s in sizes):
        raise BadRequest(f"shape={text[:80]!r} is not as 100,*,3 with * for any size")
    wanted = [None if size == "*" else int(size) for size in sizes]

    def fits(dtype: str, shape: tuple[int, ...]) -> bool:
        if dtype == "" or len(shape) != len(wanted):
            return False
        return all(size in (None, own) for size, own in zip(wanted, shape, strict=True))

    return fits


def _of_attribute(text: str) -> Filter:
    name, has_value, value = text.partition("=")
    if not has_value:
        return lambda facts: name in facts.names
    wanted, number = value[:TEXT], _number(value)

    def fits(facts: Facts) -> bool:
        own = facts.text(name)
        if own is None or own == wanted:
            return own is not None
        return number is not None and _number(own) == number

    return fits


def _number(text: str) -> float | None:
    try:  # quicker than to suppress: it is done for each dataset
        return float(text)
    except ValueError:
        return None
