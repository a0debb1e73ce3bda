"""The names of the roots that are subscribed to, kept in a file across restarts."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from caterva2.names import RootName
from caterva2.runtime import durable

log = logging.getLogger(__name__)
FILE = "subscribed.json"


class Subscriptions:
    """The file of the subscribed names.

    Parameters
    ----------
    statedir : Path
    """

    def __init__(self, statedir: Path) -> None:
        self._file = statedir / FILE

    def read(self) -> list[RootName]:
        """Read the names that were saved last.

        Raises
        ------
        OSError, ValueError
            If the file can't be read.
        """
        if not self._file.exists():
            return []
        return [RootName(name) for name in json.loads(self._file.read_bytes())]

    async def save(self, names: Iterable[RootName]) -> None:
        """Replace the saved names; an error is logged, since the subscriptions hold anyway."""
        data = json.dumps(sorted(names)).encode()
        try:
            await asyncio.to_thread(durable.write, self._file, data)
        except OSError as error:
            log.error("%s can't be written: %s", self._file, error)
