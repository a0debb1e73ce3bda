"""What a search needs of descriptions: dtypes, shapes and attributes as text, within a bound."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import to_json

from caterva2.errors import SourceCorrupt
from caterva2.frames import attributes
from caterva2.limits import DEFAULTS
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath

TEXT: Final = 200
"""Characters of an attribute that are looked at."""
_SIZE, _ATTRIBUTE = 300, 150
"""Bytes of memory that a dataset takes, and each of its attributes, beside the texts."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a search needs of one dataset; the dtype of a byte string is empty.

    ``described`` is False of one that can't be described, which no filter finds.
    """

    dtype: str = ""
    shape: tuple[int, ...] = ()
    attrs: Mapping[str, str] = field(default_factory=dict)
    described: bool = True

    @classmethod
    def of(cls, info: DatasetInfo) -> Facts:
        """Return the facts of a description."""
        try:
            forms = attributes.forms(info)
        except SourceCorrupt:  # it is described without them, too
            forms = {}
        texts = {name: attribute_text(form) for name, form in forms.items()}
        return cls(info.dtype, tuple(info.shape), texts)

    @property
    def nbytes(self) -> int:
        """Estimate of the memory that they take."""
        texts = sum(len(name) + len(text) + _ATTRIBUTE for name, text in self.attrs.items())
        return _SIZE + texts


INDESCRIBABLE: Final = Facts(described=False)


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
        self.size = 0

    def get(self, path: DatasetPath) -> Facts | None:
        """Return the facts of a dataset; None if they are not known."""
        return self._known.get(path)

    def put(self, path: DatasetPath, facts: Facts) -> None:
        """Keep the facts of the present version of a dataset."""
        self.forget([path])
        self._known[path] = facts
        self.size += facts.nbytes
        while self.size > self._max_bytes and len(self._known) > 1:
            self.forget([next(iter(self._known))])

    def forget(self, paths: Collection[DatasetPath]) -> None:
        """Drop the facts of datasets that have changed."""
        for path in paths:
            if (known := self._known.pop(path, None)) is not None:
                self.size -= known.nbytes
