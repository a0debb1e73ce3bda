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
            return found, tomllib.load(file)
    except FileNotFoundError:
        if path is not None:
            raise ConfigError(f"{path} does not exist") from None
        return found, {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{found} can't be read: {error}") from None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the known ones that it may stand for."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
