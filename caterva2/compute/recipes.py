"""An expression as it is stored: a small JSON document behind `kinds.RECIPE_MAGIC`.

It holds what its result looked like when it was made, so that this can still be told when an
operand is away. What is read is checked as if it had come from outside.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from caterva2 import limits
from caterva2.arrays import dtypes
from caterva2.compute import syntax
from caterva2.errors import CatervaError, SourceCorrupt
from caterva2.model import Grid, Model, Shape
from caterva2.names import parse_full
from caterva2.sources.kinds import RECIPE_MAGIC


class Recipe(Model):
    """What a computed dataset is computed of, and what it looked like last.

    Parameters
    ----------
    expression : str
    operands : dict of str
        ``ROOT/PATH`` of each operand, by its name.
    shape, chunks, blocks : tuple of int
    dtype : str
    """

    expression: Annotated[str, Field(max_length=limits.EXPRESSION_LENGTH)]
    operands: Annotated[dict[str, str], Field(min_length=1, max_length=limits.OPERANDS)]
    shape: Shape
    chunks: Grid
    blocks: Grid
    dtype: Annotated[str, Field(max_length=limits.DTYPE_LENGTH)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        try:
            used = set(syntax.names(syntax.parse(self.expression)))
            dtypes.parse(self.dtype)
            for path in self.operands.values():
                parse_full(path)
        except CatervaError as error:
            raise ValueError(str(error)) from None
        grids = {len(self.shape), len(self.chunks), len(self.blocks)}
        if len(grids) > 1 or not all(map(_fits, self.chunks, self.blocks)):
            raise ValueError("shape, chunks and blocks do not belong together")
        if used != self.operands.keys():
            raise ValueError("the operands are not those of the expression")
        return self


def _fits(chunk: int, block: int) -> bool:
    return 0 < block <= chunk


def pack(recipe: Recipe) -> bytes:
    """The bytes of a file."""
    return RECIPE_MAGIC + recipe.model_dump_json().encode()


def unpack(body: bytes) -> Recipe:
    """The expression that a file holds.

    Raises
    ------
    SourceCorrupt
        If it holds none.
    """
    if len(body) > limits.RECIPE_BYTES or not body.startswith(RECIPE_MAGIC):
        raise SourceCorrupt("this is no expression, or one that is too large")
    try:
        return Recipe.model_validate_json(body[len(RECIPE_MAGIC) :])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise SourceCorrupt(f"its expression can't be read: {first['msg'][:300]}") from None
