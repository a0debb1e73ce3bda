"""Plan nodes: the shape and dtype of each step of an expression.

A plan is a pure function of the expression and the descriptions of its operands. It holds no
opened dataset: what reads the operands is handed in by their names when it is evaluated. A
*region* of a node is a range for each of its axes, all of them within bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.selection import Selection
from caterva2.compute import syntax
from caterva2.compute.syntax import Number
from caterva2.model import DatasetInfo

Region = tuple[range, ...]
Shape = tuple[int, ...]
DType = np.dtype[Any]
NodeValues = dict[int, Values]
"""Values of leaves and staged nodes, by the identity of the node."""


class Source(Protocol):
    """One version of an operand, to be read."""

    @property
    def info(self) -> DatasetInfo: ...

    async def values(self, selection: Selection, field: FieldPath = ()) -> Values:
        """Read a selection, or a field of it."""
        ...


Sources = Mapping[str, Source]
"""What reads each operand, by the operand's full name."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Node:
    """Shape and dtype of a step's result.

    Parameters
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    key : str
        Digest of the content: equal for equal steps over equal versions.
    depth, weight : int
        Levels and number of the nodes from here down.
    """

    shape: Shape
    dtype: DType
    key: str
    depth: int = 1
    weight: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Leaf(Node):
    """A part of an operand, or of one of its fields.

    Parameters
    ----------
    operand : str
        The operand's full name.
    info : DatasetInfo
        Of the whole operand.
    view : Selection
    field : FieldPath
    """

    operand: str
    info: DatasetInfo
    view: Selection
    field: FieldPath = ()


@dataclass(frozen=True, slots=True, eq=False)
class Applied(Node):
    """An elementwise function of numbers and of arrays, which are broadcast together."""

    function: str
    arguments: tuple[Plan | Number, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Reduced(Node):
    """A reduction along axes, which are sorted and not negative."""

    reduction: syntax.Reduction
    argument: Plan
    axes: tuple[int, ...]

    @property
    def is_unordered(self) -> bool:
        """Whether the result does not depend on the order of the argument's items."""
        every = len(self.axes) == len(self.argument.shape)
        return every and not self.reduction.function.startswith("arg")

    def needs(self, region: Region) -> Region:
        """Return the region of the argument that a region of the result depends on."""
        left = list(region)
        if self.reduction.keepdims:
            left = [axis for n, axis in enumerate(region) if n not in self.axes]
        return tuple(
            range(size) if n in self.axes else left.pop(0)
            for n, size in enumerate(self.argument.shape)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sliced(Node):
    """A part of a computed array."""

    argument: Plan
    view: Selection


Plan = Leaf | Applied | Reduced | Sliced


# --- the parts of a plan ---


def leaves(node: Plan) -> Iterator[Leaf]:
    """Yield the operands read piece by piece with a node, without those of staged nodes."""
    match node:
        case Leaf():
            yield node
        case Applied(arguments=arguments):
            for argument in arguments:
                if not isinstance(argument, Number):
                    yield from leaves(argument)
        case _:
            return


def staged(node: Plan) -> Iterator[Reduced | Sliced]:
    """Yield the nodes to compute before the rest of a node is computed piece by piece."""
    match node:
        case Reduced() | Sliced():
            yield node
        case Applied(arguments=arguments):
            for argument in arguments:
                if not isinstance(argument, Number):
                    yield from staged(argument)
        case Leaf():
            return


def needs(part: Reduced | Sliced, region: Region) -> Region:
    """Return the region of its argument that a region of a staged node depends on."""
    return part.needs(region) if isinstance(part, Reduced) else within(part.view, region)


# --- regions ---


def fit(region: Region, shape: Shape) -> Region:
    """Return the part of an array of this shape that broadcasting extends to a region."""
    last = region[len(region) - len(shape) :]
    return tuple(
        range(1) if size == 1 else axis for axis, size in zip(last, shape, strict=True)
    )  # fmt: skip


def within(view: Selection, region: Region) -> Region:
    """Return a region of a view as a region of the whole; dropped axes have one item."""
    left = list(region)
    return tuple(
        range(axis, axis + 1) if isinstance(axis, int) else _compose(axis, left.pop(0))
        for axis in view.axes
    )


def _compose(outer: range, inner: range) -> range:
    """Return the items of a range at the positions of another one."""
    start = outer.start + inner.start * outer.step
    step = outer.step * inner.step
    return range(start, start + len(inner) * step, step)


def part_of(outer: Selection, inner: Selection) -> Selection:
    """Compose a selection of a selection into one of the whole array."""
    left = list(inner.axes)
    axes = (axis if isinstance(axis, int) else _part(axis, left.pop(0)) for axis in outer.axes)
    return Selection(outer.shape, tuple(axes))


def _part(outer: range, inner: int | range) -> int | range:
    return outer[inner] if isinstance(inner, int) else _compose(outer, inner)
