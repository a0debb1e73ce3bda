"""State of the application, for the handlers of its requests."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence

from starlette.requests import Request

from caterva2.accounts.accounts import Accounts
from caterva2.errors import LoginNeeded, NotAllowed
from caterva2.frames.shards.index import ShardIndex
from caterva2.limits import Limits
from caterva2.model import User
from caterva2.runtime.budget import Budget
from caterva2.runtime.lru import Lru
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.runtime.monitoring.exposition import Scrapes
from caterva2.web.members import Members
from caterva2.web.openapi.document import document
from caterva2.web.operation import Operation
from caterva2.web.overviews import Overviews
from caterva2.web.reader import Reader, Readers
from caterva2.web.tables.rows import TableRows
from caterva2.web.zarr.consolidating import Consolidating

_KEPT = 400
"""Bytes of memory that an index takes beside its table."""


class WebState:
    """The subscriber, its accounts where there are any, and the memory for answers.

    Parameters
    ----------
    readers : Readers
    accounts : Accounts, optional
    limits : Limits
    operations : sequence of Operation
        Those that the application offers.
    metrics : MemoryMetrics
        What is measured all the time.
    prefix : str, optional
        In front of all paths of the server, as pages write them.
    """

    def __init__(
        self,
        readers: Readers,
        accounts: Accounts | None,
        limits: Limits,
        operations: Sequence[Operation],
        metrics: MemoryMetrics,
        prefix: str = "",
    ) -> None:
        self.metrics = metrics
        self.prefix = prefix
        self.scrapes = Scrapes(metrics)
        self.readers = readers
        self.accounts = accounts
        self.limits = limits
        self.shards: Lru[tuple[str, str, str, int], ShardIndex] = Lru(
            limits.web.shard_indices, lambda index: index.nbytes + _KEPT
        )
        """Indices of chunks that were converted for Zarr, by root, path, etag and number."""
        self.consolidating = Consolidating(limits)
        self.openapi = functools.cache(lambda: document(operations))
        """Makes the OpenAPI document; call it in a thread, since that takes a while."""
        self.members = Members(limits.web.members_bytes)
        self.overviews = Overviews(limits)
        self.table_rows = TableRows(limits.overviews, deadline=limits.wire.request_deadline)
        self.outputs = Budget(limits.web.outputs_bytes)
        self.listeners: Counter[str] = Counter()
        """Event streams by the share that they count against."""
        self.small_outputs = Budget(limits.web.small_outputs_bytes)
        """For answers of up to SMALL_OUTPUT bytes, which never wait behind larger ones."""
        self.computed_outputs = Budget(limits.web.computed_outputs_bytes)
        """For computed answers: they may take long, and nothing that is stored waits for them."""

    def budget_for(self, size: int, *, computed: bool) -> Budget:
        """Return the budget that an answer of ``size`` bytes counts against."""
        if computed:
            return self.computed_outputs
        small = size <= self.limits.web.small_output
        return self.small_outputs if small else self.outputs


def state_of(request: Request) -> WebState:
    """Return the state of the application that handles a request."""
    state: WebState = request.app.state.web
    return state


def user_of(request: Request) -> User | None:
    """Return the user who sent a request; None without a session."""
    user: User | None = getattr(request.state, "user", None)
    return user


def reader_of(request: Request) -> Reader:
    """Return the subscriber as the user who sent a request sees it."""
    return state_of(request).readers.for_user(user_of(request))


def may_write(request: Request) -> bool:
    """Return whether the user who sent a request may change special roots."""
    try:
        reader_of(request).check_writing("")
    except (LoginNeeded, NotAllowed):
        return False
    return True
