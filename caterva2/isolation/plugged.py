"""A process that decodes arrays with plugins of Blosc2, which trust what they decode."""

from __future__ import annotations

from pathlib import Path

from caterva2.isolation.file import IsolatedFile
from caterva2.isolation.process import Target
from caterva2.isolation.reader import Reader
from caterva2.limits import DEFAULTS, Limits
from caterva2.sources.base import Datasets
from caterva2.sources.directory.plugged import Plugged

FRAMES = "caterva2.sources.directory.decoding:for_isolation"
LEAVES = "caterva2.stores.trees.decoding:for_isolation"


class IsolatedPlugged(Plugged):
    """Arrays below a directory that need plugins: one process decodes them, when one is read.

    They are frames in files, or leaves of trees.

    Parameters
    ----------
    directory : Path
    limits : Limits, optional
        The groups ``publisher`` and ``isolation``.
    make : str, optional
        Makes the source of a file in the process: `FRAMES` or `LEAVES`.
    """

    def __init__(self, directory: Path, limits: Limits = DEFAULTS, make: str = FRAMES) -> None:
        self._room = limits.publisher.reply_bytes
        given = {
            "reply_bytes": limits.publisher.reply_bytes,
            "converted_bytes": limits.publisher.converted_bytes,
        }
        self._reader = Reader(Target(make, directory.resolve(), given), limits.isolation)

    def open(self, path: str) -> Datasets:
        return IsolatedFile(self._reader, path, self._room)

    def close(self) -> None:
        self._reader.close()
