"""Prefetches of readers without login, where there are accounts: these are few at a time."""

from __future__ import annotations

import contextlib
from typing import Protocol

from caterva2.errors import NotFound, SlowDown
from caterva2.model import PrefetchStatus
from caterva2.names import RootName

Goal = tuple[RootName, str, str]
"""Root, path below it, and slice."""


class Jobs(Protocol):
    """Knows the state of prefetches."""

    def prefetching(self, root: RootName, below: str, part: str, /) -> PrefetchStatus: ...


class Prefetches:
    """The prefetches that readers without login have started.

    Parameters
    ----------
    most : int
        Of them that are under way.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._started: set[Goal] = set()

    def check(self, jobs: Jobs, goal: Goal) -> None:
        """Note another one; `SlowDown` if as many as may be are under way."""
        self._started = {known for known in self._started if _runs(jobs, known)}
        if goal not in self._started and len(self._started) >= self._most:
            raise SlowDown(
                f"too many prefetches without a login (ANONYMOUS_PREFETCHES={self._most})",
                after_ms=10_000,
            )
        self._started.add(goal)


def _runs(jobs: Jobs, goal: Goal) -> bool:
    with contextlib.suppress(NotFound):
        return jobs.prefetching(*goal).state in ("waiting", "running")
    return False
