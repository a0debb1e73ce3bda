"""Notebooks of Jupyter: text, code, and outputs that are text or pictures. Nothing is run."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import markupsafe

from caterva2.errors import SourceCorrupt
from caterva2.pages.display.highlight import Deadline, TooSlow, highlighted
from caterva2.pages.display.markdown import rendered

_CELLS = 500
_OUTPUT = 20_000
"""Characters of an output."""
_CODE = 50_000
_MARKED = 2**18
"""Characters of all cells up to which Markdown is rendered and syntax marked: both are slow."""
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Output:
    """A text, or a picture as a ``data:`` URL."""

    text: str = ""
    picture: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class NotebookCell:
    """A cell: its source as HTML, and its outputs."""

    kind: str
    shown: markupsafe.Markup
    number: str
    outputs: list[Output]


def cells(text: str, directory: str, prefix: str = "") -> list[NotebookCell]:
    """Return the cells of a notebook. Call this in a thread.

    Raises
    ------
    SourceCorrupt
        If the text is no notebook.
    """
    try:
        book = json.loads(text)
        found = book["cells"]
        language = str(_at(book, "metadata", "language_info", "name") or "python")
        made, left, deadline = list[NotebookCell](), _MARKED, Deadline()

        def render(text: str) -> markupsafe.Markup:
            return rendered(text, directory, deadline, prefix)

        for one in found[:_CELLS]:
            source = _joined(one.get("source"))[:_CODE]
            left -= len(source)
            marking = (language, deadline) if left >= 0 else None
            try:
                made.append(_cell(one, source, marking, render))
            except TooSlow:
                left = -1
                made.append(_cell(one, source, None, render))
        return made
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SourceCorrupt("it is no notebook of version 4") from None


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _cell(
    given: dict[str, Any],
    source: str,
    marking: tuple[str, Deadline] | None,
    render: Callable[[str], markupsafe.Markup],
) -> NotebookCell:
    """Show a cell; without a language and a deadline, its source as it is."""
    if given.get("cell_type") == "markdown" and marking:
        return NotebookCell("markdown", render(source), "", [])
    if given.get("cell_type") != "code":
        return NotebookCell("raw", markupsafe.escape(source), "", [])
    made = [output for one in given.get("outputs") or [] for output in _outputs(one)]
    number = given.get("execution_count")
    shown = highlighted(source, *marking) if marking else markupsafe.escape(source)
    return NotebookCell("code", shown, str(number) if isinstance(number, int) else "", made)


def _outputs(given: dict[str, Any]) -> list[Output]:
    if given.get("output_type") == "error":
        lines = _joined([f"{line}\n" for line in given.get("traceback") or []])
        return [Output(_plain(lines), is_error=True)]
    if given.get("output_type") == "stream":
        return [Output(_plain(_joined(given.get("text"))))]
    data = given.get("data")
    if not isinstance(data, dict):
        return []
    for kind in _PICTURES:
        if encoded := _base64(_joined(data.get(kind))):
            return [
                Output(_plain(_joined(data.get("text/plain"))), f"data:{kind};base64,{encoded}")
            ]
    return [Output(_plain(_joined(data.get("text/plain"))))]


def _plain(text: str) -> str:
    return _COLOURS.sub("", text)[:_OUTPUT]


def _base64(text: str) -> str:
    """Return base64 in its usual form; empty if it is none."""
    try:
        return base64.b64encode(base64.b64decode("".join(text.split()), validate=True)).decode()
    except (ValueError, binascii.Error):
        return ""
