"""A subscriber, its accounts, its special roots and the HTTP server over them, put together."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from caterva2.access.operators import ServiceMonitor
from caterva2.access.rights import EffectiveRights
from caterva2.access.views import UserViews
from caterva2.accounts.accounts import AccountOptions, Accounts
from caterva2.accounts.grants import Grants
from caterva2.accounts.policy import CurrentPolicy, Policy, ReadRights
from caterva2.accounts.store import FILE, AccountStore
from caterva2.errors import StartError
from caterva2.isolation.hdf5 import hdf5_format
from caterva2.limits import DEFAULTS, Limits
from caterva2.mirror.options import MirrorOptions
from caterva2.pages.front import Pages
from caterva2.runtime.logs.requests import RequestRecords
from caterva2.runtime.metrics import MemoryMetrics, Metrics
from caterva2.runtime.tasks import first_of
from caterva2.special.roots import SPACES, SpecialRoots
from caterva2.stores.containers import store_formats
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber
from caterva2.web.app import make_app
from caterva2.web.server.early import Recorded
from caterva2.web.server.http import HttpServer
from caterva2.web.server.options import HttpOptions
from caterva2.workers.options import WorkerOptions

if TYPE_CHECKING:
    from caterva2.integrations.cluster.connection import DaskCluster
    from caterva2.workers.pool import WorkerPool

log = logging.getLogger(__name__)
LISTED_S = 30.0
"""Seconds after which the listing of a file of a special root is given up."""


class Part(Protocol):
    """A part of the service that may fail."""

    async def failed(self) -> None:
        """Wait for its first failure, and raise it."""


class SubscriberService:
    """A subscriber with its REST interface, as a `caterva2.runtime.service.Running`."""

    def __init__(
        self,
        subscriber: Subscriber,
        special: SpecialRoots,
        server: HttpServer,
        ready: str,
        metrics: MemoryMetrics,
    ) -> None:
        self.ready = ready
        self.monitor = ServiceMonitor(metrics, subscriber, special)
        self._subscriber = subscriber
        self._health = subscriber.monitor.health
        self._parts: tuple[Part, ...] = (subscriber, special, server)

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(
        cls,
        options: SubscriberOptions,
        http: str | socket.socket,
        accounts: AccountOptions | None = None,
        policy: ReadRights | None = None,
        limits: Limits = DEFAULTS,
        origins: Sequence[str] = (),
        dask: tuple[str, str] = ("", ""),
        reached: HttpOptions | None = None,
        recorded: RequestRecords | None = None,
        mirror: MirrorOptions | None = None,
        workers: WorkerOptions | None = None,
    ) -> AsyncIterator[Self]:
        """Run a subscriber while the context is entered.

        Parameters
        ----------
        options : SubscriberOptions
        http : str or socket
            Address of the HTTP server, or a socket that listens.
        accounts : AccountOptions, optional
            Without them there is no login, and all published roots are public.
        policy : ReadRights, optional
            Who may read which root, where there are accounts.
        limits : Limits, optional
        origins : sequence of str, optional
            Origins of pages that may read.
        dask : tuple of str, optional
            The scheduler of a Dask cluster, and where its workers reach this subscriber, if not
            at ``http``.
        reached : HttpOptions, optional
            Hosts, proxies, TLS and prefix of the HTTP server.
        recorded : RequestRecords, optional
            The access log and the audit log; closed at the end.
        mirror : MirrorOptions, optional
            The roots that are served again.
        workers : WorkerOptions, optional
            Processes that serve beside this one.

        Raises
        ------
        StartError
            If an address can't be bound, or the state directory can't be used.
        """
        rules: ReadRights = policy or Policy()
        async with contextlib.AsyncExitStack() as stack:
            kept = stack.enter_context(recorded or RequestRecords())
            metrics = MemoryMetrics()
            serving = Subscriber.serving(options, limits, metrics)
            subscriber = await stack.enter_async_context(serving)
            users: Accounts | None = None
            if accounts is not None:
                store = AccountStore(options.statedir / FILE, limits.accounts.user_sessions)
                if store.created:
                    _log_new_accounts(options.statedir)
                listed = EffectiveRights(rules, subscriber.rights)
                users = Accounts(store, accounts, listed, limits=limits.accounts)
                stack.callback(users.close)
            special = await stack.enter_async_context(_special_roots(options, subscriber, limits))
            grants = Grants()
            cluster = await _cluster(stack, dask[0], grants, limits, metrics)
            shared = cluster.for_user if cluster else None
            views = UserViews(subscriber, special, rules if users else None, limits, shared)
            if users is not None:
                users.on_delete += [grants.forget, views.forget, special.forget]
                users.on_disable += [grants.forget]
                await users.end_deletions()
            granted = grants if cluster else None
            pages = Pages()
            prefix = reached.prefix.text if reached else ""
            app = make_app(views, users, limits, origins, metrics, pages.front, granted, prefix)
            early = Recorded(app.state.early, kept) if kept.all else app.state.early
            pool = None
            if workers is not None and workers.count > 1:
                given = subscriber, views, users, limits, reached or HttpOptions(), kept, metrics
                pool = await _workers(stack, workers, policy, *given)
            server = HttpServer(kept.around(app), http, limits.web, early, reached, pool)
            if users is None:
                _warn_if_open(server)
            if cluster is not None:
                cluster.url = _reached(server.url, dask[1])
            await stack.enter_async_context(server)
            await stack.enter_async_context(pages.loading())
            stack.callback(subscriber.listeners.end)  # ends the answers that have no end
            broker = f"broker {options.broker}" if options.broker else "no broker"
            upstream = f", upstream {options.upstream.url}" if options.upstream else ""
            ready = f"ready at {server.url}, {broker}{upstream}"
            made = cls(subscriber, special, server, ready, metrics)
            made._parts += (pool,) if pool is not None else ()
            await made._mirror(stack, mirror, options, limits)
            yield made

    async def _mirror(
        self,
        stack: contextlib.AsyncExitStack,
        mirror: MirrorOptions | None,
        options: SubscriberOptions,
        limits: Limits,
    ) -> None:
        """Serve roots again, if some are; the modules for it are loaded then."""
        if mirror is None:
            return
        from caterva2.mirror.service import Mirrors

        serving = Mirrors.serving(self._subscriber, mirror, options, limits)
        mirrors = await stack.enter_async_context(serving)
        self._parts += (mirrors,)
        self.monitor.others.append(mirrors.report)

    @property
    def status(self) -> str:
        """The roots that are up, and the link to the broker, as text."""
        health = self._health()
        return f"{health.roots} roots up, {'linked to' if health.broker else 'without'} a broker"

    async def failed(self) -> None:
        """Wait for the first failure of a part, and raise it."""
        await first_of(*[part.failed() for part in self._parts])


def _warn_if_open(server: HttpServer) -> None:
    """Log that others reach a server that has no accounts."""
    if not server.is_local:
        log.warning(
            "%s has no accounts: everybody who reaches it reads all roots; see docs/accounts.md",
            server.url,
        )


def _log_new_accounts(statedir: Path) -> None:
    """Log that there were no accounts; where there are special roots, there may have been some."""
    level = logging.WARNING if (statedir / SPACES).exists() else logging.INFO
    log.log(level, "%s was not there: it starts without accounts", statedir / FILE)


async def _workers(
    stack: contextlib.AsyncExitStack,
    options: WorkerOptions,
    policy: ReadRights | None,
    *given: Any,
) -> WorkerPool:
    """Start workers; the modules for it are loaded then."""
    from caterva2.workers.start import workers

    on_rights = policy.on_replace if isinstance(policy, CurrentPolicy) else []
    return await workers(stack, options, on_rights, *given)


async def _cluster(
    stack: contextlib.AsyncExitStack,
    scheduler: str,
    grants: Grants,
    limits: Limits,
    metrics: Metrics,
) -> DaskCluster | None:
    """Return the Dask cluster of a scheduler; the library is loaded for its first computation."""
    if not scheduler:
        return None
    from caterva2.integrations.cluster.connection import DaskCluster

    return await stack.enter_async_context(DaskCluster(scheduler, grants, limits, metrics))


def _reached(url: str, advertised: str) -> str:
    """Return where workers reach a server; `StartError` if it has to be said."""
    if not advertised and any(any_host in url for any_host in ("//0.0.0.0:", "//[::]:")):
        raise StartError(
            f"dask: workers can't reach {url}: say with advertise where this subscriber is"
        )
    return advertised or url


def _special_roots(
    options: SubscriberOptions, subscriber: Subscriber, limits: Limits
) -> SpecialRoots:
    # A root can't be changed while one of its files is listed.
    scan = min(limits.isolation.scan, LISTED_S)
    publisher = replace(limits.publisher, file_datasets=limits.special.file_datasets)
    brief = replace(limits, isolation=replace(limits.isolation, scan=scan), publisher=publisher)
    return SpecialRoots(
        options.statedir.absolute() / SPACES,
        options.quota,
        subscriber.pool,
        subscriber.listeners,
        subscriber.reserve,
        limits.special,
        options.quotas,
        lambda place: [hdf5_format(place, brief), *store_formats(place, limits.publisher)],
    )
