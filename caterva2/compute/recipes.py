"""Stored form of an expression: a small JSON document behind `kinds.RECIPE_MAGIC`.

It includes the shape, grid and dtype that the result had when the expression was stored, for a
description while an operand is not available. A document is validated when it is read, as input
from outside is.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from caterva2.arrays import dtypes
from caterva2.compute import syntax
from caterva2.compute.syntax import Tree
from caterva2.errors import BadExpression, CatervaError, SourceCorrupt
from caterva2.limits import DEFAULTS, ComputeLimits
from caterva2.limits.constants import DTYPE_LENGTH, EXPRESSION_LENGTH, RECIPE_BYTES
from caterva2.model import Grid, Model, Shape
from caterva2.names import parse_full
from caterva2.sources.kinds import RECIPE_MAGIC


class Recipe(Model):
    """An expression, its operands, and a description of its result when it was stored.

    Parameters
    ----------
    expression : str
    operands : dict of str
        ``ROOT/PATH`` of each operand by its name in the expression.
    shape, chunks, blocks : tuple of int
    dtype : str
    """

    expression: Annotated[str, Field(max_length=EXPRESSION_LENGTH)]
    operands: Annotated[dict[str, str], Field(min_length=1)]
    shape: Shape
    chunks: Grid
    blocks: Grid
    dtype: Annotated[str, Field(max_length=DTYPE_LENGTH)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        try:
            dtypes.parse(self.dtype)
            for path in self.operands.values():
                parse_full(path)
        except CatervaError as error:
            raise ValueError(str(error)) from None
        grids = {len(self.shape), len(self.chunks), len(self.blocks)}
        if len(grids) > 1 or not all(map(_fits, self.chunks, self.blocks)):
            raise ValueError("shape, chunks and blocks do not belong together")
        return self


def _fits(chunk: int, block: int) -> bool:
    return 0 < block <= chunk


def pack(recipe: Recipe) -> bytes:
    """Serialize an expression."""
    return RECIPE_MAGIC + recipe.model_dump_json().encode()


def unpack(body: bytes, limits: ComputeLimits = DEFAULTS.compute) -> tuple[Recipe, Tree]:
    """Parse the content of a file into a stored expression and its syntax tree.

    Raises
    ------
    SourceCorrupt
        If it is not a valid one.
    """
    if len(body) > RECIPE_BYTES or not body.startswith(RECIPE_MAGIC):
        raise SourceCorrupt("this is not an expression, or one that is too large")
    try:
        recipe = Recipe.model_validate_json(body[len(RECIPE_MAGIC) :])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise SourceCorrupt(f"its expression can't be read: {first['msg'][:300]}") from None
    try:
        tree = syntax.parse(recipe.expression, limits.expression_nodes)
    except BadExpression as error:
        raise SourceCorrupt(f"its expression can't be read: {error.detail[:300]}") from None
    if set(syntax.names(tree)) != recipe.operands.keys() or len(recipe.operands) > limits.operands:
        raise SourceCorrupt(
            "its expression can't be read: the operands are not those of the expression, or more "
            f"than OPERANDS, {limits.operands}"
        )
    return recipe, tree
