"""Parser of ``PATH[KEY]``, a dataset and a numpy key on a command line."""

from __future__ import annotations

import ast
from typing import Any

from caterva2.arrays import selection
from caterva2.errors import BadSelection


def split(text: str) -> tuple[str, Any]:
    """Split a text into a path and a numpy key, which is empty without brackets.

    It is ``PATH``, ``PATH[2:4, 5]``, ``PATH[[1, 5, 7]]`` or ``PATH["field"]``. Brackets within a
    path are part of it, unless the text ends with one.

    Raises
    ------
    BadSelection
        If the brackets do not contain a key.
    """
    if not text.endswith("]"):
        return text, ()
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += {"]": 1, "[": -1}.get(text[at], 0)
        if depth == 0 and at > 0:
            return text[:at], key(text[at + 1 : -1])
    raise BadSelection(f"{text[:80]!r} is not PATH or PATH[SLICE]")


def key(text: str) -> Any:
    """Parse a numpy key, the text between brackets."""
    name = text.strip()
    if len(name) > 1 and name[0] in "\"'" and name[-1] == name[0]:
        return name[1:-1]
    if "[" not in text:
        return selection.parse_key(text)
    found: list[Any] = []
    for entry in _entries(text):
        found += [_list(entry)] if entry.strip().startswith("[") else selection.parse_key(entry)
    return tuple(found)


def _entries(text: str) -> list[str]:
    """Split a text at the commas outside of brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts if parts[-1].strip() else parts[:-1]


def _list(text: str) -> list[Any]:
    """Parse nested lists; their items are checked with the dataset's shape."""
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise BadSelection(f"{text.strip()[:40]!r} is not a list of integers")
    return found
