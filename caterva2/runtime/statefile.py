"""JSON files of a service's state: the version of their format, and what a damaged one means.

A file without a version has format 1. State that can be rebuilt starts anew where its file is
damaged, which includes an empty one: the file is renamed to ``NAME.bad``, and the log says what
was in it. A file of a newer format is never replaced, since the newer program may need it again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from caterva2.errors import CatervaError, StartError
from caterva2.runtime import durable

T = TypeVar("T")
log = logging.getLogger(__name__)
FORMAT = "format"
_BYTES = 2**28
"""Length above which a file is damaged: a broker with all roots that it may have writes less."""
_DAMAGED = (
    ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError, CatervaError,
)  # fmt: skip
"""Exceptions of parsing and validating what may be any JSON."""


def read(path: Path, newest: int, parse: Callable[[int, Any], T], lost: str) -> T | None:
    """Read state that can be rebuilt; None if there is none, or the file is damaged.

    Parameters
    ----------
    path : Path
    newest : int
        The newest format that ``parse`` knows.
    parse : callable
        Makes the state of a format and the content. Its usual exceptions mean damage.
    lost : str
        What a damaged file takes with it, and how that comes back; for the log.

    Raises
    ------
    StartError
        If a newer version of this program wrote the file, or the system can't read or rename it.
    """
    try:
        data = _bytes(path)
        if data is None:
            return None
        content = json.loads(data)
        found = format_of(content)
        refuse_newer(path, found, newest)
        return parse(found, content)
    except StartError:
        raise
    except OSError as error:
        raise StartError(f"{path} can't be read: {error.strerror}") from None
    except _DAMAGED as error:
        set_aside(path, reason(error), lost)
        return None


def write(path: Path, newest: int, content: Mapping[str, object]) -> None:
    """Replace a file atomically; its content gets the number of its format.

    Raises
    ------
    OSError
        If writing failed; the old file is still there then.
    """
    durable.write(path, encode(newest, content))


def encode(newest: int, content: Mapping[str, object]) -> bytes:
    """Return the bytes of a file with a format and a content."""
    return json.dumps({FORMAT: newest, **content}, indent=1).encode()


def format_of(content: object) -> int:
    """Return the format of a file's content; 1 if it has no number.

    Raises
    ------
    ValueError
        If the number is below 1.
    """
    found = content.get(FORMAT) if isinstance(content, dict) else None
    if type(found) is not int:
        return 1  # a mapping by names may have this one, too
    if found < 1:
        raise ValueError(f"format {found}")
    return found


def refuse_newer(path: Path, found: int, newest: int) -> None:
    """Raise `StartError` if a file has a format that only a newer program knows."""
    if found > newest:
        raise StartError(
            f"{path} has format {found}, and this version of caterva2 reads up to {newest}: start"
            " the version that wrote it, or move the file away"
        )


def set_aside(path: Path, reason: str, lost: str) -> None:
    """Rename a damaged file to ``NAME.bad``, and log what was in it.

    Raises
    ------
    StartError
        If it can't be renamed.
    """
    bad = path.with_name(f"{path.name}.bad")
    try:
        os.replace(path, bad)
        durable.sync_directory(path.parent)
    except OSError as error:
        raise StartError(f"{path} is damaged, and can't be renamed: {error.strerror}") from None
    log.warning("%s is damaged (%s), and is %s now: %s", path, reason, bad.name, lost)


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES + 1)
    except FileNotFoundError:
        return None
    if not data:
        raise ValueError("it is empty")
    if len(data) > _BYTES:
        raise ValueError(f"it has more than {_BYTES} bytes")
    return data


def reason(error: Exception) -> str:
    """Return what an exception says about damage, on one line."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if isinstance(error, KeyError) or not text else text
