"""The files that a process has open: a bounded number, each while it is used and for some time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from caterva2.sources.base import Datasets


@dataclass(slots=True)
class _Used:
    source: Datasets
    users: int = 0
    is_gone: bool = False


class OpenSources:
    """The most recently used sources, each of one file; may be used from several threads.

    Parameters
    ----------
    make : callable
        Makes the source of a file, which has its path as ``below``; without it if that is empty.
    most : int
        Sources that are kept beside those in use.
    """

    def __init__(self, make: Callable[..., Datasets], most: int) -> None:
        self._make = make
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[str, _Used] = {}

    @contextlib.contextmanager
    def using(self, below: str) -> Iterator[Datasets]:
        """Enter the source of a file, which is not closed meanwhile."""
        with self._lock:
            used = self._kept.pop(below, None)
            if used is None:
                used = _Used(self._make(below=below) if below else self._make())
            self._kept[below] = used  # the last one is the most recently used
            used.users += 1
        try:
            yield used.source
        finally:
            self._leave(used)

    def forget(self, below: str) -> None:
        """Close a file, when it is not in use any more."""
        with self._lock:
            used = self._kept.pop(below, None)
            if used is None:
                return
            used.is_gone, is_idle = True, not used.users
        if is_idle:
            used.source.close()

    def _leave(self, used: _Used) -> None:
        with self._lock:
            used.users -= 1
            closed = [used] if used.is_gone and not used.users else []
            idle = [name for name, kept in self._kept.items() if not kept.users]
            closed += [self._kept.pop(name) for name in idle[: max(len(idle) - self._most, 0)]]
        for each in closed:
            each.source.close()
