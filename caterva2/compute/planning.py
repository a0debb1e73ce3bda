"""Planning: from a syntax tree and descriptions of its operands to a plan."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import cast

import numpy as np

from caterva2.arrays import dtypes, fields, selection
from caterva2.arrays.fields import Values
from caterva2.compute import reducing, syntax
from caterva2.compute.functions import FUNCTIONS, KINDS
from caterva2.compute.plans import Applied, Leaf, NodeValues, Plan, Reduced, Sliced, part_of
from caterva2.compute.syntax import Number, Scalar, Tree
from caterva2.errors import BadExpression, BadSelection, TooLarge
from caterva2.limits import DEFAULTS, ComputeLimits
from caterva2.limits.constants import EXPRESSION_DEPTH, NDIM
from caterva2.model import DatasetInfo


def operand(info: DatasetInfo, name: str) -> Leaf:
    """Return the plan of a whole operand.

    Parameters
    ----------
    info : DatasetInfo
    name : str
        Full name, unique among all datasets.

    Raises
    ------
    BadExpression
        If it is not an array.
    """
    if info.kind != "array":
        raise BadExpression(f"Invalid name or expression: {name} is not an array")
    return Leaf(
        name, info, selection.whole(info.shape),
        shape=info.shape, dtype=dtypes.parse(info.dtype), key=_key("leaf", name, info.etag),
    )  # fmt: skip


def plan(
    tree: Tree, operands: Mapping[str, Plan], limits: ComputeLimits = DEFAULTS.compute
) -> Plan:
    """Plan an expression over planned operands.

    Raises
    ------
    BadExpression
        If an operand is missing, or shapes or dtypes do not fit together.
    TooLarge
    """
    made = _Planner(operands).node(tree)
    if isinstance(made, Number) or made.dtype.kind not in KINDS:
        raise BadExpression("Runtime error: the result is not an array of numbers")
    if made.weight > limits.expression_nodes or made.depth > EXPRESSION_DEPTH:
        raise BadExpression(
            "Invalid name or expression: with the expressions among its operands it is longer "
            f"than EXPRESSION_NODES, {limits.expression_nodes}, or nested deeper than "
            f"EXPRESSION_DEPTH, {EXPRESSION_DEPTH}"
        )
    if math.prod(made.shape) * made.dtype.itemsize > limits.computed_bytes:
        raise TooLarge(
            f"a result of the shape {list(made.shape)} is larger than COMPUTED_BYTES, "
            f"{limits.computed_bytes}"
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
            case syntax.Subscript(argument, key):
                return _sliced(self._array(argument), key)

    def _array(self, tree: Tree) -> Plan:
        made = self.node(tree)
        if isinstance(made, Number):
            raise BadExpression("Runtime error: a number has no axes")
        return made

    def _operand(self, name: str, field: str) -> Plan:
        if name not in self._operands:
            raise BadExpression(
                f"Expression error: {name} is not in the list of available datasets"
            )
        found = self._operands[name]
        if field:
            found = _field(found, name, field)
        if found.dtype.kind not in KINDS:
            shown = dtypes.display(found.dtype)[:200]
            hint = "; name a field of it" if found.dtype.names else ""
            raise BadExpression(f"Runtime error: {name} is {shown}, which is not a number{hint}")
        return found


def _field(found: Plan, name: str, field: str) -> Leaf:
    if not isinstance(found, Leaf):
        raise BadExpression(f"Runtime error: {name} has no fields")
    try:
        names = fields.find(found.info, field)
    except BadSelection as error:
        raise BadExpression(f"Runtime error: {name}: {error}") from None
    dtype = fields.dtype_of(found.info, names)
    if dtype.subdtype is not None:
        raise BadExpression(f"Runtime error: the field {field[:80]!r} of {name} holds arrays")
    return Leaf(
        found.operand, found.info, found.view, names,
        shape=found.shape, dtype=dtype, key=_key("field", *names, found.key),
    )  # fmt: skip


def _applied(function: str, arguments: tuple[Plan | Number, ...]) -> Applied:
    arrays = [argument for argument in arguments if not isinstance(argument, Number)]
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        shapes = " and ".join(str(list(array.shape)) for array in arrays)
        raise BadExpression(f"Runtime error: {function}: {shapes} can't be broadcast") from None
    if len(shape) > NDIM:
        raise BadExpression(f"Runtime error: {len(shape)} axes are more than {NDIM}")
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
    """Apply an elementwise function.

    Raises
    ------
    BadExpression
        If the function is not defined for these values.
    """
    with np.errstate(all="ignore"):
        try:
            work = FUNCTIONS[function].work
            if work is np.power and _is_square(*values):
                return np.square(values[0])  # equal, and takes a tenth of the time
            return cast("Values", work(*values))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise BadExpression(f"Runtime error: {function}: {error}") from None


def computed(node: Plan, held: NodeValues) -> Values:
    """Apply the functions of a plan to the values of its leaves and staged nodes."""
    if not isinstance(node, Applied):
        return held[id(node)]
    return apply(node.function, [
        argument.value if isinstance(argument, Number) else computed(argument, held)
        for argument in node.arguments
    ])  # fmt: skip


def _is_square(base: Values | Scalar, exponent: Values | Scalar) -> bool:
    return (
        isinstance(base, np.ndarray)
        and base.dtype == np.float64
        and type(exponent) in (int, float)
        and exponent == 2
    )


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


def _sliced(argument: Plan, key: syntax.Key) -> Plan:
    try:
        view = selection.normalise(key, argument.shape)
    except BadSelection as error:
        raise BadExpression(f"Runtime error: {error}") from None
    made = _key("cut", view.axes, argument.key)
    shape, deeper = view.result_shape, argument.depth + 1
    if isinstance(argument, Leaf):
        return Leaf(
            argument.operand, argument.info, part_of(argument.view, view), argument.field,
            shape=shape, dtype=argument.dtype, key=made, depth=deeper,
        )  # fmt: skip
    return Sliced(
        argument, view, shape=shape, dtype=argument.dtype, key=made, depth=deeper,
        weight=argument.weight + 1,
    )  # fmt: skip


def _key(*parts: object) -> str:
    text = "\0".join(map(str, parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
