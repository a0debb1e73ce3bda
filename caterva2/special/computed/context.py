"""Resources that all computed datasets share: threads, slots, kept plans and kept results."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from caterva2.compute.evaluation import Evaluator, ResultCache
from caterva2.compute.plans import Plan
from caterva2.compute.slots import FairSlots
from caterva2.limits import DEFAULTS, ComputeLimits
from caterva2.model import DatasetInfo
from caterva2.reading.dataset import ReadPool
from caterva2.runtime.lru import Lru
from caterva2.special.incoming import Incoming
from caterva2.special.stored import ParsedExpression, StoredExpression

T = TypeVar("T")
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
    """

    def __init__(
        self, pool: ReadPool, incoming: Incoming, limits: ComputeLimits = DEFAULTS.compute
    ) -> None:
        self.pool = pool
        self.incoming = incoming
        self.limits = limits
        self.evaluator = Evaluator(pool, ResultCache(limits.computed_kept), limits)
        self.plans: Lru[object, Planned] = Lru(limits.plan_nodes, lambda planned: planned.size)
        self._slots = FairSlots(limits)
        self._user = ""

    def for_user(self, user: str) -> ComputeContext:
        """Return a context whose computations take the slots of a user; "" is without login."""
        context = copy.copy(self)
        context._user = user
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
