"""What an expression means for its operands: nodes with the shape and dtype of what they give.

A *region* of one is a range for each of its axes, all of them within bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from caterva2.arrays.fields import Field, Values
from caterva2.arrays.selection import Selection
from caterva2.compute import syntax
from caterva2.compute.syntax import Number
from caterva2.model import DatasetInfo

Region = tuple[range, ...]
Shape = tuple[int, ...]
DType = np.dtype[Any]


class Source(Protocol):
    """A dataset that is an operand: one version of it."""

    @property
    def info(self) -> DatasetInfo: ...

    async def values(self, wanted: Selection, field: Field = ()) -> Values: ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Made:
    """What all nodes have: ``key`` is the same for the same content, ``depth`` and ``weight``
    count the nodes below."""

    shape: Shape
    dtype: DType
    key: str
    depth: int = 1
    weight: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Leaf(Made):
    """Part of an operand, or a field of that."""

    source: Source
    view: Selection
    field: Field = ()


@dataclass(frozen=True, slots=True, eq=False)
class Applied(Made):
    """An elementwise function of arrays, which are broadcast together, and of numbers."""

    function: str
    arguments: tuple[Plan | Number, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Reduced(Made):
    """A function along axes, which are in order and not negative."""

    reduction: syntax.Reduction
    argument: Plan
    axes: tuple[int, ...]

    def needs(self, region: Region) -> Region:
        """The region of the argument that a region of the result is made of."""
        left = list(region)
        if self.reduction.keepdims:
            left = [axis for n, axis in enumerate(region) if n not in self.axes]
        return tuple(
            range(size) if n in self.axes else left.pop(0)
            for n, size in enumerate(self.argument.shape)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Cut(Made):
    """Part of something that is made."""

    argument: Plan
    view: Selection


Plan = Leaf | Applied | Reduced | Cut


# --- what a node is made of ---


def leaves(node: Plan) -> Iterator[Leaf]:
    """The operands that are read piece by piece with a node, not those of what is staged."""
    match node:
        case Leaf():
            yield node
        case Applied(arguments=arguments):
            for argument in arguments:
                if not isinstance(argument, Number):
                    yield from leaves(argument)
        case _:
            return


def staged(node: Plan) -> Iterator[Reduced | Cut]:
    """What has to be there before the rest of a node is computed, piece by piece."""
    match node:
        case Reduced() | Cut():
            yield node
        case Applied(arguments=arguments):
            for argument in arguments:
                if not isinstance(argument, Number):
                    yield from staged(argument)
        case Leaf():
            return


def needs(part: Reduced | Cut, region: Region) -> Region:
    """The region of its argument that a region of something staged is made of."""
    return part.needs(region) if isinstance(part, Reduced) else within(part.view, region)


# --- regions ---


def fit(region: Region, shape: Shape) -> Region:
    """The region of something that is broadcast to where a region is meant."""
    last = region[len(region) - len(shape) :]
    return tuple(
        range(1) if size == 1 else axis for axis, size in zip(last, shape, strict=True)
    )  # fmt: skip


def within(view: Selection, region: Region) -> Region:
    """A region of a part, as a region of the whole; axes that the part lacks have one item."""
    left = list(region)
    return tuple(
        range(axis, axis + 1) if isinstance(axis, int) else _inner(axis, left.pop(0))
        for axis in view.axes
    )


def _inner(outer: range, inner: range) -> range:
    """The items of a range at the positions that another one names."""
    start = outer.start + inner.start * outer.step
    step = outer.step * inner.step
    return range(start, start + len(inner) * step, step)


def part_of(outer: Selection, inner: Selection) -> Selection:
    """A part of a part of an array, as a part of the array."""
    left = list(inner.axes)
    axes = (axis if isinstance(axis, int) else _part(axis, left.pop(0)) for axis in outer.axes)
    return Selection(outer.shape, tuple(axes))


def _part(outer: range, inner: int | range) -> int | range:
    return outer[inner] if isinstance(inner, int) else _inner(outer, inner)
