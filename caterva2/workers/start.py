"""The start of workers, with what they need of a subscriber."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from caterva2.access.views import UserViews
from caterva2.accounts.accounts import Accounts
from caterva2.limits import Limits
from caterva2.runtime.logs.requests import RequestRecords
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.subscriber.service import Subscriber
from caterva2.web.server.options import HttpOptions
from caterva2.workers import settings
from caterva2.workers.generations import Generations
from caterva2.workers.options import WorkerOptions
from caterva2.workers.permission import Permissions
from caterva2.workers.pool import WorkerPool


async def workers(
    stack: contextlib.AsyncExitStack,
    options: WorkerOptions,
    on_rights: list[Callable[[], None]],
    subscriber: Subscriber,
    views: UserViews,
    accounts: Accounts | None,
    limits: Limits,
    reached: HttpOptions,
    recorded: RequestRecords,
    metrics: MemoryMetrics,
) -> WorkerPool:
    """Start workers, which end with the stack.

    Parameters
    ----------
    stack : AsyncExitStack
    options : WorkerOptions
    on_rights : list of callable
        Is given what has to be called when other rights are in force.
    subscriber : Subscriber
    views : UserViews
    accounts : Accounts or None
    limits : Limits
    reached : HttpOptions
    recorded : RequestRecords
    metrics : MemoryMetrics
        Of the whole service.
    """
    generations = Generations()
    stack.callback(generations.close)
    subscriber.doubts.affected.append(generations)
    stack.callback(subscriber.doubts.affected.remove, generations)
    on_rights.append(generations.doubt_all)
    stack.callback(on_rights.remove, generations.doubt_all)
    if accounts is not None:
        accounts.on_change.append(generations.doubt_all)
        stack.callback(accounts.on_change.remove, generations.doubt_all)
    given = settings.described(
        reached, limits, recorded=recorded.all, accounts=accounts is not None
    )
    given["log"] = options.loglevel, options.log_format
    permissions = Permissions(views.for_user, accounts, subscriber, generations)
    pool = WorkerPool(options.count, generations, permissions, given, subscriber, metrics, recorded)
    subscriber.monitor.workers = pool
    return await stack.enter_async_context(pool.serving())
