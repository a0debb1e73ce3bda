"""What an expression means for its operands: shapes, dtypes, grids, and what it costs to read.

The nodes of a plan are those of an expression, with the shape and dtype of what they give. A
*region* of one is a range for each of its axes, all of them within bounds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import blosc2
import numpy as np

from caterva2 import dtypes, limits, selection
from caterva2.cache import fields
from caterva2.cache.fields import Field, Values
from caterva2.compute import reducing, syntax
from caterva2.compute.functions import FUNCTIONS, KINDS
from caterva2.compute.syntax import Number, Scalar, Tree
from caterva2.errors import BadExpression, BadSelection, TooLarge
from caterva2.model import DatasetInfo
from caterva2.selection import Selection

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


def operand(source: Source, name: str) -> Leaf:
    """An operand as it is.

    Parameters
    ----------
    source : Source
    name : str
        Differs between any two datasets.

    Raises
    ------
    BadExpression
        If it can't be computed with.
    """
    info = source.info
    if info.kind != "array":
        raise BadExpression(f"Invalid name or expression: {name} is not an array")
    key = _key("leaf", name, info.etag)
    dtype = dtypes.parse(info.dtype)
    return Leaf(
        source, selection.whole(info.shape), shape=info.shape, dtype=dtype, key=key
    )  # fmt: skip


def plan(tree: Tree, operands: Mapping[str, Plan]) -> Plan:
    """What an expression means.

    Raises
    ------
    BadExpression
        If an operand is missing, or they do not fit together.
    TooLarge
    """
    made = _Planner(operands).node(tree)
    if isinstance(made, Number) or made.dtype.kind not in KINDS:
        raise BadExpression("Runtime error: the result is not an array of numbers")
    if made.weight > limits.EXPRESSION_NODES or made.depth > limits.EXPRESSION_DEPTH:
        raise BadExpression(
            "Invalid name or expression: with the expressions among its operands it is longer "
            "than EXPRESSION_NODES, or nested deeper than EXPRESSION_DEPTH"
        )
    if math.prod(made.shape) * made.dtype.itemsize > limits.COMPUTED_BYTES:
        raise TooLarge(
            f"a result of the shape {list(made.shape)} is larger than COMPUTED_BYTES, "
            f"{limits.COMPUTED_BYTES}"
        )
    return made


class _Planner:
    def __init__(self, operands: Mapping[str, Plan]) -> None:
        self._operands = operands

    def node(self, tree: Tree) -> Plan | Number:
        match tree:
            case Number():
                return tree
            case syntax.Operand(name, field):
                return self._operand(name, field)
            case syntax.Call(function, arguments):
                return _applied(function, tuple(self.node(argument) for argument in arguments))
            case syntax.Reduction(_, argument):
                return _reduced(tree, self._array(argument))
            case syntax.Cut(argument, key):
                return _cut(self._array(argument), key)

    def _array(self, tree: Tree) -> Plan:
        made = self.node(tree)
        if isinstance(made, Number):
            raise BadExpression("Runtime error: a number has no axes")
        return made

    def _operand(self, name: str, of: str) -> Plan:
        if name not in self._operands:
            raise BadExpression(
                f"Expression error: {name} is not in the list of available datasets"
            )
        found = self._operands[name]
        if of:
            found = _field(found, name, of)
        if found.dtype.kind not in KINDS:
            shown = dtypes.display(found.dtype)[:200]
            fields = "; name a field of it" if found.dtype.names else ""
            raise BadExpression(f"Runtime error: {name} is {shown}, which is no number{fields}")
        return found


def _field(found: Plan, name: str, of: str) -> Leaf:
    if not isinstance(found, Leaf):
        raise BadExpression(f"Runtime error: {name} has no fields")
    try:
        names = fields.find(found.source.info, of)
    except BadSelection as error:
        raise BadExpression(f"Runtime error: {name}: {error}") from None
    dtype = fields.dtype_of(found.source.info, names)
    if dtype.subdtype is not None:
        raise BadExpression(f"Runtime error: the field {of[:80]!r} of {name} holds arrays")
    return Leaf(
        found.source, found.view, names,
        shape=found.shape, dtype=dtype, key=_key("field", *names, found.key),
    )  # fmt: skip


def _applied(function: str, arguments: tuple[Plan | Number, ...]) -> Applied:
    arrays = [argument for argument in arguments if not isinstance(argument, Number)]
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        shapes = " and ".join(str(list(array.shape)) for array in arrays)
        raise BadExpression(f"Runtime error: {function}: {shapes} can't be broadcast") from None
    if len(shape) > limits.NDIM:
        raise BadExpression(f"Runtime error: {len(shape)} axes are more than {limits.NDIM}")
    sample = apply(function, [
        argument.value if isinstance(argument, Number) else np.ones(1, argument.dtype)
        for argument in arguments
    ])  # fmt: skip
    keys = (
        f"{argument.value!r}" if isinstance(argument, Number) else argument.key
        for argument in arguments
    )
    return Applied(
        function, arguments, shape=shape, dtype=np.asarray(sample).dtype,
        key=_key("apply", function, *keys),
        depth=1 + max((array.depth for array in arrays), default=0),
        weight=1 + sum(array.weight for array in arrays),
    )  # fmt: skip


def apply(function: str, values: list[Values | Scalar]) -> Values:
    """A function of some values.

    Raises
    ------
    BadExpression
        If there is no such function of these.
    """
    with np.errstate(all="ignore"):
        try:
            return cast("Values", FUNCTIONS[function].work(*values))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise BadExpression(f"Runtime error: {function}: {error}") from None


def _reduced(reduction: syntax.Reduction, argument: Plan) -> Reduced:
    ndim = len(argument.shape)
    given = range(ndim) if reduction.axes is None else reduction.axes
    axes = sorted({axis + ndim if axis < 0 else axis for axis in given})
    if any(not 0 <= axis < ndim for axis in axes) or len(axes) != len(given):
        raise BadExpression(
            f"Runtime error: {reduction.function}: {list(given)} are not axes of "
            f"{ndim} dimensions, or one of them twice"
        )
    shape = tuple(
        1 if n in axes else size
        for n, size in enumerate(argument.shape)
        if n not in axes or reduction.keepdims
    )
    return Reduced(
        reduction, argument, tuple(axes), shape=shape,
        dtype=reducing.result_dtype(reduction, argument.dtype, argument.shape, tuple(axes)),
        key=_key("reduce", reduction.function, axes, reduction.keepdims, reduction.ddof,
                 argument.key),
        depth=1 + argument.depth, weight=1 + argument.weight,
    )  # fmt: skip


def _cut(argument: Plan, key: syntax.Key) -> Plan:
    try:
        view = selection.normalise(key, argument.shape)
    except BadSelection as error:
        raise BadExpression(f"Runtime error: {error}") from None
    made = _key("cut", view.axes, argument.key)
    shape, deeper = view.result_shape, argument.depth + 1
    if isinstance(argument, Leaf):
        return Leaf(
            argument.source, part_of(argument.view, view), argument.field,
            shape=shape, dtype=argument.dtype, key=made, depth=deeper,
        )  # fmt: skip
    return Cut(
        argument, view, shape=shape, dtype=argument.dtype, key=made, depth=deeper,
        weight=argument.weight + 1,
    )  # fmt: skip


def _key(*parts: object) -> str:
    text = "\0".join(map(str, parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


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


# --- grids and costs ---


def grid(node: Plan) -> tuple[Shape, Shape]:
    """Chunks and blocks for the result of a node: those of an operand, if one is like it."""
    shape = node.shape
    if not shape or 0 in shape:
        some = tuple(min(max(size, 1), 1024) for size in shape)
        return some, tuple(1 for _ in some)
    infos = (leaf.source.info for leaf in leaves(node) if leaf.shape == shape)
    alike = next((info for info in infos if len(info.shape) == len(shape)), None)
    if alike is not None:
        chunks, blocks = alike.chunks, alike.blocks
    else:
        chunks, blocks = blosc2.compute_chunks_blocks(shape, dtype=node.dtype)
    smaller = tuple(int(min(chunk, size)) for chunk, size in zip(chunks, shape, strict=True))
    smaller = shrunk(smaller, limits.COMPUTED_CHUNK // node.dtype.itemsize)
    return smaller, tuple(int(min(both)) for both in zip(blocks, smaller, strict=True))


def shrunk(chunks: Shape, most: int) -> Shape:
    """A chunk, or a part of one that has no more than some number of items."""
    made = list(chunks)
    for n in range(len(made)):
        others = math.prod(made[:n]) * math.prod(made[n + 1 :])
        made[n] = max(1, min(made[n], most // others))
    return tuple(made)


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


def check_cost(node: Plan, region: Region, *, at_once: bool = True) -> None:
    """Refuse what would take too much, before anything is read of it.

    Parameters
    ----------
    node : Plan
    region : tuple of range
    at_once : bool
        Whether it is computed by one call, not chunk by chunk.

    Raises
    ------
    TooLarge
    """
    read, most = _cost(node, region)
    if read > limits.COMPUTE_OPERANDS:
        raise TooLarge(
            f"this needs {read} bytes of operands, COMPUTE_OPERANDS is {limits.COMPUTE_OPERANDS}"
        )
    if at_once and most > limits.COMPUTE_STAGED:
        raise TooLarge(
            f"a part of the expression has {most} bytes, COMPUTE_STAGED is "
            f"{limits.COMPUTE_STAGED}: ask for less at once"
        )


def _cost(node: Plan, region: Region) -> tuple[int, int]:
    """Bytes of operands, and of the largest part that is staged."""
    read = most = 0
    for leaf in leaves(node):
        info = leaf.source.info
        wanted = part_of(leaf.view, Selection(leaf.shape, fit(region, leaf.shape)))
        read += selection.count_chunks(wanted, info.chunks) * info.chunksize
    for part in staged(node):
        own = fit(region, part.shape)
        inner, largest = _cost(part.argument, needs(part, own))
        read += inner
        most = max(most, largest, math.prod(map(len, own)) * part.dtype.itemsize)
    return read, most


def needs(part: Reduced | Cut, region: Region) -> Region:
    """The region of its argument that a region of something staged is made of."""
    return part.needs(region) if isinstance(part, Reduced) else within(part.view, region)
