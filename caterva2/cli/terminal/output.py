"""Output of commands: JSON, or text that can't control a terminal."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caterva2.frames.metadata import jsonable
from caterva2.runtime.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Output:
    """The result of a command.

    Parameters
    ----------
    data : object
        For ``--json``.
    shown : callable
        Makes the text or the table for people.
    code : int
        The command's exit code.
    """

    data: Any
    shown: Callable[[], RenderableType]
    code: int = 0

    def print(self, as_json: bool) -> None:
        """Print it to standard output."""
        if as_json:
            print(json.dumps(jsonable(_plain(self.data))), flush=True)
            return
        shown = self.shown()
        if isinstance(shown, str):
            if shown:
                print(shown, end="" if shown.endswith("\n") else "\n", flush=True)
        else:
            from caterva2.cli.terminal import tables

            tables.show(shown)


def _plain(data: Any) -> Any:
    """Convert numpy's values to Python's, and bytes that are not text to base64."""
    if hasattr(data, "tolist"):
        return _plain(data.tolist())
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    if isinstance(data, bytes) and not _is_text(data):
        return {"base64": base64.b64encode(data).decode()}
    return data


def abandon() -> None:
    """Discard further output, after standard output was closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def lines(texts: Iterable[str]) -> str:
    """Join texts to lines."""
    return "\n".join(map(printable, texts))


def text_of(data: bytes) -> str:
    """Decode a text file; describe one with control characters by its size."""
    if not _is_text(data):
        return f"Binary data ({len(data)} bytes)"
    return printable(data.decode().replace("\r\n", "\n"), keep="\n\t\f")


def _is_text(data: bytes) -> bool:
    try:
        return not _NO_TEXT.search(data.decode())
    except UnicodeDecodeError:
        return False
