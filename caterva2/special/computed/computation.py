"""Computations: results of expressions that are sent to who asked for them, and not stored."""

from __future__ import annotations

from collections.abc import Mapping

import blosc2

from caterva2.arrays.fields import FieldPath
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.compute import costs
from caterva2.compute.costs import Cost
from caterva2.frames.sealed import Sealed
from caterva2.model import CParams, Expression
from caterva2.names import DatasetPath
from caterva2.reading import slices
from caterva2.special.computed import expressions
from caterva2.special.computed.context import ComputeContext
from caterva2.special.computed.dataset import ComputedDataset, describe, recipe_of
from caterva2.special.computed.operands import Find, Operands, OperandVersion, digest

RESULT = DatasetPath("result.b2nd")


_QUICK = (blosc2.Codec.BLOSCLZ.value, blosc2.Codec.LZ4.value)


class Computation(ComputedDataset):
    """The result of an expression over one version of each operand, which has no place.

    Attributes
    ----------
    operands : mapping of str to OperandVersion
        The direct operands by their names.
    cost : Cost
    """

    operands: Mapping[str, OperandVersion] = {}
    cost: Cost = Cost(0, 0)

    async def frame(
        self, region: Selection | Points, field: FieldPath = ()
    ) -> bytes | bytearray | Sealed:
        """Compute a selection as a frame in memory; the caller bounds its size."""
        values = await self.values(region, field)
        return await self._pool.run(lambda: slices.pack(self.info, values))


def _packing(operands: Operands) -> CParams:
    """Return the compression of a result: a quick one where all of its operands have one."""
    quick = all(one.info.cparams.codec in _QUICK for one in operands.sources.values())
    return CParams(codec=blosc2.Codec.LZ4.value) if quick else CParams()


async def compute(context: ComputeContext, find: Find, given: Expression) -> Computation:
    """Open the result of an expression for one user; nothing is computed yet.

    Raises
    ------
    BadExpression
        If it is invalid, or does not fit its operands.
    NotFound
        If an operand does not exist, or is hidden from the user.
    TooLarge
        If the whole result needs more than the limits of `ComputeLimits` allow.
    """
    parsed = await expressions.checked(context, given)
    operands = Operands(context, find)
    node = await operands.plan_of("", parsed)
    expression = Expression(parsed.text, dict(parsed.operands))
    limits, whole = context.limits, tuple(map(range, node.shape))
    costs.check_cost(node, whole, limits)
    info = describe(recipe_of(expression, node, limits), RESULT, digest(node.key), 0.0)
    info = info.model_copy(update={"cparams": _packing(operands)})
    made = Computation(info, expression, node, operands.sources, context, operands.offline)
    made.operands = {name: operands.version(path) for name, path in parsed.operands.items()}
    made.cost = costs.cost(node, whole)
    return made
