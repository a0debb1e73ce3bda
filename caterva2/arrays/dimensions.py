"""Names of an array's dimensions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from caterva2.limits import constants

Dims = tuple[str | None, ...]
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def checked(names: Iterable[object], ndim: int) -> Dims:
    """Return names of dimensions, None for one that is none; () unless there are ``ndim``.

    A name is a text of 1 to `constants.DIMENSION_NAME` characters without control characters.
    """
    found = tuple(_name(name) for name in names)
    return found if len(found) == ndim and any(found) else ()


def _name(name: object) -> str | None:
    if not isinstance(name, str) or not 0 < len(name) <= constants.DIMENSION_NAME:
        return None
    return None if _CONTROL.search(name) else str(name)
