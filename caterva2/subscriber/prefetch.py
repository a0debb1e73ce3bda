"""Prefetch jobs: datasets, directories and roots that are fetched as a whole in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from caterva2.errors import BadRequest, CacheFull, CatervaError, NotFound, SlowDown
from caterva2.limits import DEFAULTS, SubscriberLimits
from caterva2.limits.constants import REQUEST_INFOS
from caterva2.model import Entry, PrefetchStatus
from caterva2.names import DatasetPath, RootName, containers, full_name, in_order
from caterva2.runtime.budget import Budget, Hold
from caterva2.runtime.tasks import cancel_all
from caterva2.subscriber.prefetch_job import Backoff, Goal, Job, name_of
from caterva2.subscriber.remote_dataset import RemoteDataset

log = logging.getLogger(__name__)
Open = Callable[[RootName, DatasetPath], Awaitable[RemoteDataset]]
Describe = Callable[[RootName, Sequence[DatasetPath]], Awaitable[object]]


class Prefetcher:
    """Run one job after the other, with several small datasets of each at once.

    Parameters
    ----------
    opened : callable
        Opens the current version of a dataset.
    described : callable
        Requests the descriptions of several datasets at once.
    limits : SubscriberLimits
    """

    def __init__(
        self, opened: Open, described: Describe, limits: SubscriberLimits = DEFAULTS.subscriber
    ) -> None:
        self._limits = limits
        self._open = opened
        self._describe = described
        self._room = Budget(limits.prefetch_at_once_bytes)
        self._jobs: dict[str, Job] = {}
        self._task: asyncio.Task[None] | None = None
        self._running: Job | None = None
        self._wake = asyncio.Event()

    async def start(
        self, root: RootName, below: str, entries: Mapping[DatasetPath, Entry], part: str = ""
    ) -> PrefetchStatus:
        """Start a job for the missing chunks, or return the one that has not ended.

        Raises
        ------
        BadRequest
            If a part is asked for of what is no dataset, or has no such part.
        NotFound
            If there is nothing of that name.
        SlowDown
            If there are as many jobs as `limits` allows.
        """
        known = self._jobs.get(name_of(root, below, part))
        if known is not None and not known.ended:
            return known.status
        paths = await _paths(entries, below)
        if below and not paths:
            raise NotFound(f"{full_name(root, below)} does not exist")
        if part and below not in entries:
            raise BadRequest(f"{full_name(root, below)} is no dataset: it has no slices")
        paths = paths[:1] if part else paths
        job = Job(root, below, paths, self._limits.prefetch_failures, part)
        if below in entries:
            job.current[paths[0]] = await self._goal(job, paths[0])
        known = self._jobs.get(job.name)
        if known is not None and not known.ended:
            return known.status
        max_jobs = self._limits.prefetch_jobs
        if self.waiting >= max_jobs:
            raise SlowDown(f"too many prefetch jobs (PREFETCH_JOBS={max_jobs})", after_ms=10_000)
        self._remember(job)
        self._wake.set()
        return job.status

    async def _goal(self, job: Job, path: DatasetPath) -> Goal:
        dataset = await self._open(job.root, path)
        if not job.part:
            return Goal(dataset)
        return await asyncio.to_thread(Goal, dataset, job.part)

    def _remember(self, job: Job) -> None:
        """Keep a job, and as many ended ones as may run."""
        self._jobs.pop(job.name, None)
        ended = [name for name, known in self._jobs.items() if known.ended]
        for name in ended[: -self._limits.prefetch_jobs]:
            del self._jobs[name]
        self._jobs[job.name] = job

    def _find(self, name: str) -> Job:
        job = self._jobs.get(name)
        if job is None:
            raise no_prefetch_job(name)
        return job

    @property
    def waiting(self) -> int:
        """Number of jobs that have not ended."""
        return sum(not job.ended for job in self._jobs.values())

    def status(self, name: str) -> PrefetchStatus:
        """Report the progress of a job; `NotFound` if there is none."""
        return self._find(name).status

    def cancel(self, name: str) -> PrefetchStatus:
        """End a job; what it fetched stays. `NotFound` if there is none."""
        job = self._find(name)
        if not job.ended:
            job.end("cancelled")
            if job is self._running and self._task is not None:
                self._task.cancel()
        return job.status

    # --- the work ---

    async def run(self) -> None:
        """Run the jobs until cancelled."""
        try:
            while True:
                job = next((job for job in self._jobs.values() if job.state == "waiting"), None)
                if job is None:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                self._running, self._task = job, asyncio.create_task(self._work(job))
                await asyncio.wait({self._task})
        finally:
            if self._task is not None:
                await cancel_all([self._task])

    async def _work(self, job: Job) -> None:
        job.state = "running"
        log.info("prefetching %s: %d datasets", job.name, len(job.paths))
        try:
            for start in range(0, len(job.paths), REQUEST_INFOS):
                page = job.paths[start : start + REQUEST_INFOS]
                with contextlib.suppress(CatervaError):  # raised again when one of them is opened
                    await self._describe(job.root, page)
                left = iter(page)
                async with asyncio.TaskGroup() as workers:
                    for _ in range(min(self._limits.prefetch_at_once, len(page))):
                        workers.create_task(self._some(job, left))
            job.end()
        except* CatervaError:
            job.end("failed")
        except* Exception:
            job.end("failed")
            log.exception("prefetching %s failed", job.name)
        log.info("prefetching %s: %s %s", job.name, job.state, job.error)

    async def _some(self, job: Job, paths: Iterator[DatasetPath]) -> None:
        """Fetch datasets as long as there are any left."""
        for path in paths:
            try:
                await self._one(job, path)
            except CatervaError as error:
                job.note(path, error)
                raise
            except Exception:
                job.error = f"{job.root}/{path}: internal error"
                raise
            job.leave(path)

    async def _one(self, job: Job, path: DatasetPath) -> None:
        """Fetch a dataset; an error of this dataset alone is noted and does not end the job."""
        backoff = Backoff(self._limits.prefetch_stalled)
        while True:
            try:
                goal = job.current[path] = await self._goal(job, path)
                hold = await self._turn(goal.dataset)
                try:
                    await goal.reach()
                finally:
                    hold.release()
                job.done += 1
            except NotFound:
                job.done += 1  # it was deleted meanwhile
            except CatervaError as error:
                if isinstance(error, CacheFull):
                    raise
                job.note(path, error)
                if error.retry != "no":
                    cached = job.current[path].cached if path in job.current else 0
                    pause = backoff.pause(cached, time.monotonic())
                    if pause is None:
                        raise
                    await asyncio.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311 - jitter
                    continue
                job.give_up(path)
            return

    async def _turn(self, dataset: RemoteDataset) -> Hold:
        """Wait until a dataset fits beside the others that are fetched now."""
        return await self._room.take(dataset.info.cbytes or dataset.info.nbytes, None)


def no_prefetch_job(name: str) -> NotFound:
    """Make the error for a prefetch job that does not exist."""
    return NotFound(f"no prefetch job for {name}")


async def _paths(entries: Mapping[DatasetPath, Entry], below: str) -> list[DatasetPath]:
    """List the datasets below a directory in order, in a thread since millions are possible."""
    return await asyncio.to_thread(_wanted, list(entries), below)  # as they are now


def _wanted(known: list[DatasetPath], below: str) -> list[DatasetPath]:
    """Return a dataset and what lies below it; without files of which that is the content.

    Such a file is wanted only if it is named itself: its bytes would cross the link twice.
    """
    prefix = f"{below}/" if below else ""
    found = [path for path in known if path == below or path.startswith(prefix)]
    twice = containers(found) - {below}
    return in_order([path for path in found if path not in twice])
