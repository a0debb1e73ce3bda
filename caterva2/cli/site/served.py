"""What a site serves, and the names of its roots."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from caterva2.errors import BadName, ConfigError
from caterva2.names import RootName

EXAMPLE = RootName("foo")
"""Root of the bundled example, as the documentation calls it."""
_NAMED = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.+-]*)=(.+)", re.DOTALL)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Served:
    """A root of a site.

    Parameters
    ----------
    name : RootName
    source : str
        An absolute path, or the URL of a bucket or web server.
    """

    name: RootName
    source: str


def parse(texts: Iterable[str]) -> list[Served]:
    """Return the roots that some arguments ask for.

    Raises
    ------
    ConfigError
        If a source is missing, has a name that no root can have, or another one's name.
    """
    roots: dict[str, Served] = {}
    for text in texts:
        root = _parse(text)
        other = roots.setdefault(root.name, root)
        if other is not root:
            raise ConfigError(
                f"{other.source} and {root.source} would both be the root {root.name!r}: "
                f"name one of them, as in OTHER={root.source}"
            )
    return list(roots.values())


def _parse(text: str) -> Served:
    """Read ``SOURCE`` or ``NAME=SOURCE``; a path that exists is never taken apart."""
    named = None if Path(text).exists() else _NAMED.fullmatch(text)
    name, source = named.groups() if named else ("", text)
    if not _REMOTE.match(source):
        path = Path(source)
        if not source or not path.exists():
            raise ConfigError(f"{source or repr(text)} does not exist")
        source = str(path.resolve())
    try:
        return Served(RootName(name or _name_of(source)), source)
    except BadName as error:
        raise ConfigError(f"{error}; give one, as in NAME={text}") from None


def _name_of(source: str) -> str:
    """Return the last part of a source, without the suffix of a file."""
    if _REMOTE.match(source):
        return source.partition("?")[0].rstrip("/").rpartition("/")[2]
    path = Path(source)
    return path.name if path.is_dir() else path.stem
