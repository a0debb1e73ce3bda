"""The names of the roots that are subscribed to, kept in a file across restarts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from caterva2.names import RootName
from caterva2.runtime import statefile

log = logging.getLogger(__name__)
FILE = "subscribed.json"
FORMAT = 2
"""1 was the list of names alone."""
_LOST = "the subscriptions in it are lost; a root is subscribed to again when it is read"


class Subscriptions:
    """The file of the subscribed names.

    Parameters
    ----------
    statedir : Path
    """

    def __init__(self, statedir: Path) -> None:
        self._file = statedir / FILE

    def read(self) -> list[RootName]:
        """Read the names that were saved last; none if the file is damaged.

        A damaged file is set aside, with a warning.

        Raises
        ------
        StartError
            If the file can't be read, or a newer version of this program wrote it.
        """
        return statefile.read(self._file, FORMAT, _names, _LOST) or []

    async def save(self, names: Iterable[RootName]) -> None:
        """Replace the saved names; an error is logged, since the subscriptions hold anyway."""
        content = {"roots": sorted(names)}
        try:
            await asyncio.to_thread(statefile.write, self._file, FORMAT, content)
        except OSError as error:
            log.error("%s can't be written: %s", self._file, error)


def _names(version: int, content: Any) -> list[RootName]:
    names = content if version == 1 else content["roots"]
    if not isinstance(names, list):
        raise TypeError("it has no list of names")
    return [RootName(name) for name in names]
