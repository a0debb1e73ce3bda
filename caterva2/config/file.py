"""The file itself: reading it, and suggestions for names that it should not have."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from caterva2.errors import ConfigError

FILE = "caterva2.toml"


def read(path: Path | None) -> tuple[Path, dict[str, Any]]:
    """Return the path and the content of the configuration file.

    Parameters
    ----------
    path : Path or None
        A file that has to exist; None for `FILE` in the current directory, if it exists.

    Raises
    ------
    ConfigError
        If the file can't be read or is not TOML.
    """
    found = path or Path(FILE)
    try:
        with found.open("rb") as file:
            content = tomllib.load(file)
        _refuse_null(content)
        return found, content
    except FileNotFoundError:
        if path is not None:
            raise ConfigError(f"{path} does not exist") from None
        return found, {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{found} can't be read: {error}") from None


def _refuse_null(content: dict[str, Any]) -> None:
    """Raise `ValueError` if a text has a null byte, as no path or address on this system has."""
    left = list(content.items())
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += [(f"{name}.{key}", below) for key, below in value.items()]
        elif isinstance(value, list):
            left += [(name, each) for each in value]
        elif isinstance(value, str) and "\0" in value:
            raise ValueError(f"a null byte in {name}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the known ones that it may stand for."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
