"""A prefetch job: its progress, and the pauses between the tries of a dataset."""

from __future__ import annotations

from caterva2.arrays import selection
from caterva2.cache.readable import Ids
from caterva2.errors import CatervaError
from caterva2.model import PrefetchState, PrefetchStatus
from caterva2.names import DatasetPath, RootName, full_name
from caterva2.subscriber.remote_dataset import RemoteDataset

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the second try of a dataset, and the most before a later one."""


class Goal:
    """What is to be fetched of a dataset: all of it, or the chunks of a slice.

    Parameters
    ----------
    dataset : RemoteDataset
    part : str
        A slice; empty for all of it. Making it may take a while: do that in a thread.

    Raises
    ------
    BadSelection
        If the dataset has no such part.
    """

    def __init__(self, dataset: RemoteDataset, part: str = "") -> None:
        self.dataset = dataset
        self._ids: Ids | None = None
        if part:
            info = dataset.info
            self._ids = selection.box(selection.parse(part, info.shape), info.chunks).chunk_ids

    @property
    def nchunks(self) -> int:
        """Number of chunks."""
        return self.dataset.info.nchunks if self._ids is None else len(self._ids)

    @property
    def cached(self) -> int:
        """Number of these that are in the cache."""
        if self._ids is None:
            return self.dataset.cached_chunks
        return self.dataset.cached_among(self._ids)

    async def reach(self) -> None:
        """Fetch what is missing."""
        await (self.dataset.fill() if self._ids is None else self.dataset.fill(self._ids))


class Job:
    """A request to fetch a dataset, a directory or a root, and its progress.

    Parameters
    ----------
    root : RootName
    below : str
        A dataset, a directory, or empty for all of the root.
    paths : list of DatasetPath
    max_failures : int
        Failed datasets that are named.
    part : str
        The slice of the only dataset that is fetched; empty for all of it.
    """

    def __init__(
        self,
        root: RootName,
        below: str,
        paths: list[DatasetPath],
        max_failures: int,
        part: str = "",
    ) -> None:
        self._max_failures = max_failures
        self.root = root
        self.part = part
        self.name = name_of(root, below, part)
        self._path = full_name(root, below)
        self.paths = paths
        self.state: PrefetchState = "waiting"
        self.done = 0
        self.error = ""
        self.current: dict[DatasetPath, Goal] = {}
        self._datasets = len(paths)
        self._failed = 0
        self._failures: list[str] = []
        self._nchunks = 0
        self._cached = 0

    @property
    def ended(self) -> bool:
        return self.state not in ("waiting", "running")

    @property
    def status(self) -> PrefetchStatus:
        """Report the progress."""
        now = self.current.values()
        return PrefetchStatus(
            path=self._path, state=self.state, datasets=self._datasets, done=self.done,
            failed=self._failed, failures=tuple(self._failures),
            nchunks=self._nchunks + sum(goal.nchunks for goal in now),
            cached=self._cached + sum(goal.cached for goal in now), error=self.error,
            slice_=self.part,
        )  # fmt: skip

    def leave(self, path: DatasetPath) -> None:
        """Let go of a dataset."""
        goal = self.current.pop(path, None)
        if goal is not None:
            self._nchunks += goal.nchunks
            self._cached += goal.cached

    def note(self, path: DatasetPath, error: CatervaError) -> None:
        """Keep what went wrong with a dataset."""
        self.error = error.about(f"{self.root}/{path}").detail

    def give_up(self, path: DatasetPath) -> None:
        """Count a dataset as failed."""
        self._failed += 1
        if len(self._failures) < self._max_failures:
            self._failures.append(path)

    def end(self, state: PrefetchState = "done") -> None:
        """Keep only what the status needs; the state is `failed` if no dataset was fetched."""
        lost = state == "done" and self._failed == self._datasets > 0
        self.state = "failed" if lost else state
        for path in list(self.current):
            self.leave(path)
        self.paths = []


def name_of(root: RootName, below: str, part: str) -> str:
    """Return the name of the job for a dataset, directory or root, or for a part of a dataset."""
    name = full_name(root, below)
    return f"{name}[{part}]" if part else name


class Backoff:
    """Pauses between the tries of a dataset, which end long after the last progress.

    Parameters
    ----------
    stalled : float
        Seconds without progress after which to give up.
    """

    def __init__(self, stalled: float) -> None:
        self._stalled = stalled
        self._until: float | None = None
        self._pause = FIRST_PAUSE
        self._best = 0

    def pause(self, progress: int, now: float) -> float | None:
        """Return the seconds to wait after a failure, None to give up.

        Parameters
        ----------
        progress : int
            Number of cached chunks; more than before starts the backoff over.
        now : float
        """
        if self._until is None or progress > self._best:
            self._until, self._pause = now + self._stalled, FIRST_PAUSE
        if now > self._until:
            return None
        self._best = max(self._best, progress)
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return pause
