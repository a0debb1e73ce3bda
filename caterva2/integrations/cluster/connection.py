"""The subscriber's end: a Dask cluster that computes pieces of expressions.

The library has an event loop of its own, in a thread of its own, so that it never holds up the
subscriber's. Scheduler and workers belong to the operator: what they send is unpickled here.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import pickle
import threading
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, Self, TypeVar

from caterva2.accounts.grants import Grants
from caterva2.compute.plans import Sources
from caterva2.compute.sharing import Result, Task, WorkersAway
from caterva2.errors import StartError
from caterva2.integrations.cluster import entry
from caterva2.integrations.cluster.worker import Access, Failed
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import User
from caterva2.runtime.metrics import NO_METRICS, Counter, Metrics
from caterva2.version import __version__

if TYPE_CHECKING:
    import distributed

T = TypeVar("T")
log = logging.getLogger(__name__)
PIECES = Counter("caterva2_cluster_pieces_total", "Pieces that the Dask cluster computed")


class DaskCluster:
    """A cluster that is used while its scheduler answers and has workers.

    Parameters
    ----------
    scheduler : str
        Its address, such as ``tcp://HOST:8786``.
    grants : Grants
        The rights of the workers.
    limits : Limits
    metrics : Metrics, optional

    Attributes
    ----------
    url : str
        Where workers reach the subscriber; set before the first computation.
    """

    url = ""

    def __init__(
        self,
        scheduler: str,
        grants: Grants,
        limits: Limits = DEFAULTS,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        if importlib.util.find_spec("distributed") is None:
            raise StartError("dask: the package distributed is not installed (the extra dask)")
        self._scheduler = scheduler
        self._grants = grants
        self._limits = limits
        self._metrics = metrics
        metrics.inc(PIECES, 0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dask", daemon=True)
        self._client: distributed.Client | None = None
        self._connecting = asyncio.Lock()
        self._retry_at = 0.0
        self._away = False

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            await self._there(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, self._limits.cluster.cluster_connect)

    def for_user(self, user: User | None) -> UserWorkers:
        """Return the workers as those that compute for a user."""
        return UserWorkers(self, user)

    @contextlib.asynccontextmanager
    async def hold(self, user: User | None, sources: Sources) -> AsyncIterator[ClusterHands]:
        """Let the workers read the operands as a user, while the context is entered."""
        threads = await self._there(self._threads())
        seconds = self._limits.compute.compute_deadline
        with self._grants.issue(user, sources, seconds) as token:
            yield ClusterHands(self, Access(self.url, token), threads)

    async def compute(self, access: Access, task: Task) -> Result:
        """Compute a piece at a worker; cancelling it cancels the piece there."""
        outcome = await self._there(self._compute(access, task))
        if not isinstance(outcome, Failed):
            self._metrics.inc(PIECES)
            if self._away:
                log.info("the Dask cluster %s is used", self._scheduler)
                self._away = False
            return outcome
        if outcome.error is not None:
            raise outcome.error
        self.give_up(outcome.reason)
        raise WorkersAway(outcome.reason)

    def give_up(self, reason: str) -> None:
        """Do without the cluster for CLUSTER_RETRY seconds."""
        wait = self._limits.cluster.cluster_retry
        if not self._away:
            log.warning(
                "the Dask cluster %s is not used, and tried again every %g s: %s",
                self._scheduler, wait, reason,
            )  # fmt: skip
        self._retry_at, self._away = time.monotonic() + wait, True

    # --- on the loop of the library ---

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _threads(self) -> int:
        """Return the number of threads of all workers; `WorkersAway` without any."""
        if time.monotonic() < self._retry_at:
            raise WorkersAway
        seconds = self._limits.cluster.cluster_connect
        try:
            async with self._connecting, asyncio.timeout(2 * seconds):
                client = await self._connected(seconds)
                found: dict[str, int] = await client.nthreads()
        except (OSError, TimeoutError, RuntimeError, ValueError, ImportError) as error:
            await self._failed(f"the scheduler does not answer: {error or type(error).__name__}")
            raise WorkersAway from None
        if not found:
            self.give_up("it has no workers")
            raise WorkersAway
        return sum(found.values())

    async def _connected(self, seconds: float) -> distributed.Client:
        import distributed

        client = self._client
        if client is not None and client.status == "running":
            return client
        _quieten()
        await self._close()
        await self._try_to_reach()
        self._client = made = distributed.Client(
            self._scheduler, asynchronous=True, set_as_default=False, timeout=seconds,
            name="caterva2", direct_to_workers=False,
        )  # fmt: skip
        await made
        return made

    async def _try_to_reach(self) -> None:
        """Raise `OSError` if nothing listens there; the library would try for all of its time."""
        host, _, port = self._scheduler.partition("://")[2].rpartition(":")
        _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()

    async def _compute(self, access: Access, task: Task) -> Result | Failed:
        client = self._client
        if client is None:
            return Failed(None, "the connection is closed")
        key = f"caterva2-{uuid.uuid4().hex}"
        # As bytes, so that the scheduler, which reads the arguments, need not load their classes.
        given = __version__, pickle.dumps((access, task))
        future = client.submit(entry.perform, *given, key=key, pure=False)
        try:
            found: Result | Failed = await future
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await asyncio.shield(client.cancel([future]))
            raise
        except Exception as error:  # noqa: BLE001 - of the library, or of a worker
            return Failed(None, f"a piece failed: {type(error).__name__}: {error}"[:300])
        finally:
            future.release()
        return found

    async def _failed(self, reason: str) -> None:
        self.give_up(reason)
        with contextlib.suppress(Exception):
            await self._close()

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close(self._limits.cluster.cluster_connect)


def _quieten() -> None:
    """Silence the library, which logs each failure several times: one line of ours says it."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


class UserWorkers:
    """The workers of a cluster, for one user.

    Parameters
    ----------
    cluster : DaskCluster
    user : User or None
    """

    def __init__(self, cluster: DaskCluster, user: User | None) -> None:
        self._cluster = cluster
        self._user = user

    def hold(self, sources: Sources) -> contextlib.AbstractAsyncContextManager[ClusterHands]:
        """Let the workers read the operands with the user's rights."""
        return self._cluster.hold(self._user, sources)


class ClusterHands:
    """The workers of a cluster, with the right to read the operands of a computation."""

    def __init__(self, cluster: DaskCluster, access: Access, threads: int) -> None:
        self.threads = threads
        self._cluster = cluster
        self._access = access

    async def compute(self, task: Task) -> Result:
        """Have a piece computed."""
        return await self._cluster.compute(self._access, task)

    def give_up(self, reason: str) -> None:
        """Do without the cluster for a while."""
        self._cluster.give_up(reason)
