"""Values of a plan, made piece by piece: what is held at once is bounded, whatever is wanted.

Reductions, and slices of what is made, come first; the rest is then computed in one pass over
the pieces, some of whose operands are read while an earlier piece is computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from caterva2 import limits
from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection, split
from caterva2.compute import costs, planning, plans
from caterva2.compute.plans import Applied, Cut, Plan, Reduced, Region
from caterva2.compute.reducing import accumulator
from caterva2.compute.syntax import Number
from caterva2.errors import DeadlineExceeded

T = TypeVar("T")
AHEAD = 2
"""Pieces whose operands are read while another one is computed."""
Staged = dict[int, Values]
"""What came first, by the identity of its node."""
Piece = tuple[Region, tuple[slice, ...]]
"""A region, and its place in what is wanted."""


class Threads(Protocol):
    """Where blocking work is done."""

    async def run(self, work: Callable[[], T]) -> T: ...


class Kept:
    """Results of reductions, the last ones used, up to a number of bytes.

    Parameters
    ----------
    most : int
    """

    def __init__(self, most: int = limits.COMPUTED_KEPT) -> None:
        self._most = most
        self._size = 0
        self._found: OrderedDict[object, Values] = OrderedDict()
        self._making: dict[object, asyncio.Future[Values]] = {}

    async def get(self, key: object, make: Callable[[], Awaitable[Values]]) -> Values:
        """What is known by a key, or made for it now; once, whoever else asks meanwhile."""
        while key in self._making:
            # Whoever makes it may be cancelled, or fail: then it is tried anew.
            await asyncio.wait({self._making[key]})
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key]
        self._making[key] = asyncio.get_running_loop().create_future()
        try:
            found = await make()
        finally:
            self._making.pop(key).cancel()
        self._keep(key, found)
        return found

    def _keep(self, key: object, found: Values) -> None:
        if found.nbytes > self._most // 2:
            return
        self._found[key] = found
        self._size += found.nbytes
        while self._size > self._most:
            self._size -= self._found.popitem(last=False)[1].nbytes


class Evaluation:
    """Computes with one plan.

    Parameters
    ----------
    threads : Threads
    kept : Kept
        Of this and all other evaluations.
    """

    def __init__(self, threads: Threads, kept: Kept) -> None:
        self._threads = threads
        self._kept = kept

    async def values(self, node: Plan, wanted: Selection) -> Values:
        """What a selection selects of a node's result.

        Raises
        ------
        TooLarge
            If more had to be read for it than `limits` allows.
        DeadlineExceeded
        BadExpression
            If values turn out to be such that there is no result.
        StaleVersion
            If an operand is not that version any more.
        """
        result = np.empty(wanted.result_shape, node.dtype)
        if not wanted.size:
            return result
        region = tuple(
            range(axis, axis + 1) if isinstance(axis, int) else axis for axis in wanted.axes
        )
        costs.check_cost(node, region)
        try:
            async with asyncio.timeout(limits.COMPUTE_DEADLINE):
                found = await self._region(node, region)
        except TimeoutError:
            raise DeadlineExceeded(
                f"this takes longer to compute than COMPUTE_DEADLINE, {limits.COMPUTE_DEADLINE:g} s"
            ) from None
        return found.reshape(result.shape)

    async def _region(self, node: Plan, region: Region) -> Values:
        result = np.empty(tuple(map(len, region)), node.dtype)
        async with contextlib.aclosing(self._pieces(node, region)) as pieces:
            async for (_, where), values in pieces:
                result[where] = values
        return result

    async def _pieces(self, node: Plan, region: Region) -> AsyncGenerator[tuple[Piece, Values]]:
        """The values of the pieces of a region, in order."""
        staged = await self._staged(node, region)
        parts = _parts(node, region)
        ahead: deque[tuple[Piece, asyncio.Task[Staged]]] = deque()
        try:
            while True:
                for piece in itertools.islice(parts, AHEAD - len(ahead)):
                    ahead.append((piece, asyncio.create_task(_read(node, piece[0]))))
                if not ahead:
                    return
                piece, task = ahead[0]
                held = await task
                ahead.popleft()
                held |= {key: _taken(values, piece[1]) for key, values in staged.items()}
                yield piece, await self._threads.run(partial(_made, node, held))
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    async def _staged(self, node: Plan, region: Region) -> Staged:
        """What has to be known before the pieces of a region are made."""
        staged: Staged = {}
        for part in plans.staged(node):
            if id(part) in staged:
                continue
            own = plans.fit(region, part.shape)
            inner = plans.needs(part, own)
            if isinstance(part, Cut):
                found = await self._region(part.argument, inner)
            else:
                make = partial(self._reduced, part, inner)
                found = await self._kept.get((part.key, own), make)
            staged[id(part)] = found.reshape(tuple(map(len, own)))
        return staged

    async def _reduced(self, part: Reduced, inner: Region) -> Values:
        shape = tuple(map(len, inner))
        given = part.reduction, part.axes, shape, part.dtype, part.argument.dtype
        made = await self._threads.run(partial(accumulator, *given))
        if math.prod(shape):
            async with contextlib.aclosing(self._pieces(part.argument, inner)) as pieces:
                async for (_, where), values in pieces:
                    await self._threads.run(partial(made.add, values, where))
        return await self._threads.run(made.finish)


def _parts(node: Plan, region: Region) -> Iterator[Piece]:
    """The pieces of a region, such that what is made for one of them is bounded."""
    widths = [leaf.dtype.itemsize for leaf in plans.leaves(node)]
    each = max(16, sum(widths) + node.dtype.itemsize + 16 * node.depth)
    most = max(1, limits.COMPUTE_MEMORY // (each * (AHEAD + 1)))
    whole = Selection(node.shape, region)
    if whole.size <= most:
        yield region, tuple(slice(0, len(axis)) for axis in region)
        return
    cell = costs.shrunk(costs.grid(node)[0], most)
    for part, where in split(whole, cell, max(1, most // math.prod(cell))):
        yield tuple(axis for axis in part.axes if isinstance(axis, range)), where


async def _read(node: Plan, region: Region) -> Staged:
    """What a piece needs of the operands."""
    found = {}
    for leaf in plans.leaves(node):
        if id(leaf) not in found:
            own = Selection(leaf.shape, plans.fit(region, leaf.shape))
            wanted = plans.part_of(leaf.view, own)
            found[id(leaf)] = await leaf.source.values(wanted, leaf.field)
    return found


def _taken(values: Values, where: tuple[slice, ...]) -> Values:
    """The part of something staged that a piece needs."""
    last = zip(values.shape, where[len(where) - values.ndim :], strict=True)
    return values[tuple(slice(0, 1) if size == 1 else part for size, part in last)]


def _made(node: Plan, held: Staged) -> Values:
    if not isinstance(node, Applied):
        return held[id(node)]
    return planning.apply(node.function, [
        argument.value if isinstance(argument, Number) else _made(argument, held)
        for argument in node.arguments
    ])  # fmt: skip
