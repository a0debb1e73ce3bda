"""Attributes of datasets and directories as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caterva2.errors import CatervaError
from caterva2.frames import attributes
from caterva2.model import DatasetInfo

_SHOWN = 4000
"""Characters of a value; the rest is in the answer of ``/api/info``."""
_ONE_LINE = 80


@dataclass(frozen=True, slots=True)
class Shown:
    """An attribute: its type, and its value as text."""

    name: str
    kind: str
    text: str
    cut: bool

    @property
    def is_long(self) -> bool:
        """Whether the text takes more than a line."""
        return len(self.text) > _ONE_LINE or "\n" in self.text


def shown(info: DatasetInfo | None) -> list[Shown]:
    """Return the attributes of a description, by name; none where there is no description."""
    if info is None:
        return []
    try:
        forms = attributes.forms(info)
    except CatervaError as error:
        return [Shown("", "unreadable", error.detail, cut=False)]
    return [of_form(name, form) for name, form in sorted(forms.items())]


def metalayers(info: DatasetInfo) -> list[Shown]:
    """Return the metalayers that users made."""
    return [of_form(name, form) for name, form in sorted(attributes.metalayers(info).items())]


def of_form(name: str, form: Mapping[str, Any]) -> Shown:
    """Show an attribute in the form of `caterva2.arrays.attributes`."""
    sizes = form.get("shape") or ()
    kind = str(form["dtype"]) + (f" ({' × '.join(map(str, sizes))})" if sizes else "")
    value = form.get("value")
    if "value" not in form:
        rest = {key: one for key, one in form.items() if key not in ("dtype", "shape")}
        value = rest.get("items", rest.get("fields", rest)) or None
    text = value if isinstance(value, str) else _json(value)
    return Shown(name, kind, text[:_SHOWN], cut=len(text) > _SHOWN)


def _json(value: Any) -> str:
    if value is None:
        return "no value"
    return json.dumps(value, ensure_ascii=False, default=str)
