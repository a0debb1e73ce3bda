"""What a search needs of descriptions: dtypes, shapes and attributes as text, within a bound."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic_core import to_json

from caterva2.errors import SourceCorrupt
from caterva2.frames import attributes
from caterva2.limits import DEFAULTS
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath

T = TypeVar("T")
TEXT: Final = 200
"""Characters of an attribute that are looked at."""
_SIZE, _ATTRIBUTE = 300, 60
"""Bytes of memory that a dataset takes, and each of its attributes, beside the texts."""
_SHARED: Final = 10_000
"""Dtypes, shapes and lists of names that are kept once for all datasets that have them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a search needs of one dataset; the dtype of a byte string is empty.

    Attributes are in ``names`` and ``texts``.
    """

    dtype: str = ""
    shape: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, info: DatasetInfo) -> Facts:
        """Return the facts of a description."""
        try:
            forms = attributes.forms(info)
        except SourceCorrupt:  # it is described without them, too
            forms = {}
        texts = tuple(map(attribute_text, forms.values()))
        return cls(info.dtype, tuple(info.shape), tuple(forms), texts)

    def text(self, name: str) -> str | None:
        """Return an attribute as text; None if there is none of the name."""
        return self.texts[self.names.index(name)] if name in self.names else None

    @property
    def nbytes(self) -> int:
        """Estimate of the memory that they take."""
        return _SIZE + sum(len(text) + _ATTRIBUTE for text in self.texts)


INDESCRIBABLE: Final = Facts()
"""Those of a dataset that can't be described: no filter finds it."""


def attribute_text(form: Mapping[str, Any]) -> str:
    """Return the value of an attribute as text: text as it is, everything else as JSON."""
    value = form.get("value", form.get("items"))
    if form.get("shape") == [1] and isinstance(value, list) and len(value) == 1:
        value = value[0]  # many programs write vectors of one item
    if isinstance(value, str):
        is_bytes = form["dtype"] == "bytes" or form["dtype"].startswith(("|S", "|V"))
        return (_decoded(value) if is_bytes else value)[:TEXT]
    return to_json(value).decode()[:TEXT]


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "backslashreplace")


class KnownFacts:
    """The facts of datasets that were looked at; those known for longest go first.

    `get` may be called from any thread, all else on the event loop.

    Parameters
    ----------
    max_bytes : int
    """

    def __init__(self, max_bytes: int = DEFAULTS.subscriber.search_bytes) -> None:
        self._max_bytes = max_bytes
        self._known: dict[DatasetPath, Facts] = {}
        self._shared: dict[Any, Any] = {}
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether facts of other datasets would soon take the place of those that are known."""
        return self.size > 0.9 * self._max_bytes

    def get(self, path: DatasetPath) -> Facts | None:
        """Return the facts of a dataset; None if they are not known."""
        return self._known.get(path)

    def put(self, path: DatasetPath, facts: Facts) -> None:
        """Keep the facts of the present version of a dataset."""
        self.forget([path])
        once = self._once
        self._known[path] = facts = dataclasses.replace(
            facts, dtype=once(facts.dtype), shape=once(facts.shape), names=once(facts.names)
        )
        self.size += facts.nbytes
        while self.size > self._max_bytes and len(self._known) > 1:
            self.forget([next(iter(self._known))])

    def _once(self, value: T) -> T:
        """Return an equal value that other datasets have, too."""
        if len(self._shared) >= _SHARED:
            self._shared.clear()
        shared: T = self._shared.setdefault(value, value)
        return shared

    def forget(self, paths: Collection[DatasetPath]) -> None:
        """Drop the facts of datasets that have changed."""
        for path in paths:
            if (known := self._known.pop(path, None)) is not None:
                self.size -= known.nbytes
