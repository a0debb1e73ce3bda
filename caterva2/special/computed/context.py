"""Resources that all computed datasets share: threads, slots, kept plans and kept results."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from caterva2.compute.evaluation import Evaluator
from caterva2.compute.plans import Plan
from caterva2.compute.results import ResultCache
from caterva2.compute.sharing import SharedEvaluator, Workers
from caterva2.compute.slots import FairSlots
from caterva2.limits import DEFAULTS, ClusterLimits, ComputeLimits
from caterva2.model import DatasetInfo, User
from caterva2.reading.dataset import ReadPool
from caterva2.runtime.lru import Lru
from caterva2.special.incoming import Incoming
from caterva2.special.stored import ParsedExpression, StoredExpression

T = TypeVar("T")
WorkersOf = Callable[[User | None], Workers]
"""The workers that compute with the rights of a user."""
SHORT = 256
"""Characters of expressions up to which parsing and planning them is quicker than a thread."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of an expression and the description of its result.

    It is a pure function of the expression and of the descriptions of its operands, and holds no
    opened dataset. So users may share it: each of them opens the operands, with that user's
    rights, before it is looked up.
    """

    plan: Plan
    info: DatasetInfo
    operands: int

    @property
    def size(self) -> int:
        """Nodes and operands."""
        return self.plan.weight + self.operands


class ComputeContext:
    """Resources of computed datasets; `for_user` takes computation slots as a user.

    Parameters
    ----------
    pool : ReadPool
    incoming : Incoming
        Where whole results are written.
    limits : ComputeLimits
    workers : WorkersOf, optional
        Compute large parts of expressions.
    bounds : ClusterLimits
        Of what they are handed.
    """

    def __init__(
        self,
        pool: ReadPool,
        incoming: Incoming,
        limits: ComputeLimits = DEFAULTS.compute,
        workers: WorkersOf | None = None,
        bounds: ClusterLimits = DEFAULTS.cluster,
    ) -> None:
        self.pool = pool
        self.incoming = incoming
        self.limits = limits
        self._results = ResultCache(limits.computed_kept)
        self.evaluator = Evaluator(pool, self._results, limits)
        self._workers, self._bounds = workers, bounds
        self.plans: Lru[object, Planned] = Lru(limits.plan_nodes, lambda planned: planned.size)
        self._slots = FairSlots(limits)
        self._user = ""

    def for_user(self, user: User | None) -> ComputeContext:
        """Return a context that computes for a user; None is a reader without login."""
        context = copy.copy(self)
        context._user = user.ident if user else ""
        if self._workers is not None:
            given = self.pool, self._results, self.limits
            context.evaluator = SharedEvaluator(*given, self._workers(user), self._bounds)
        return context

    def slot(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Hold one of the user's computation slots; `Busy` if none becomes free in time."""
        return self._slots.slot(self._user)

    async def parsed(self, stored: StoredExpression) -> ParsedExpression:
        """Parse a stored expression; `SourceCorrupt` if it is not one."""
        if stored.parsed is not None:
            return stored.parsed
        return await self.run(len(stored.body) // 4, lambda: stored.parse(self.limits))

    async def run(self, characters: int, work: Callable[[], T]) -> T:
        """Parse or plan expressions of some length: in a thread unless that is short."""
        return work() if characters <= SHORT else await self.pool.run(work)
