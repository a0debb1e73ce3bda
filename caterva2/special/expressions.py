"""Expressions of the special roots: what they mean for who reads them, and new ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from caterva2 import limits
from caterva2.compute import planning, recipes, syntax
from caterva2.compute.plans import Plan, Source
from caterva2.compute.recipes import Recipe
from caterva2.errors import (
    BadExpression,
    CatervaError,
    NotFound,
    OperandGone,
    StaleVersion,
    TooLarge,
)
from caterva2.model import Expression
from caterva2.names import DatasetPath, RootName, full_name, parse_full
from caterva2.special.computed import ComputeContext, Computed, describe, recipe_of
from caterva2.special.stored import StoredExpression

T = TypeVar("T")


class Operand(Source, Protocol):
    """A dataset that is not itself computed."""

    @property
    def offline(self) -> bool:
        """Whether only cached chunks can be read."""
        ...


Found = Operand | StoredExpression
SHORT = 256
"""Characters of an expression up to which making sense of it holds nobody up."""
Find = Callable[[RootName, DatasetPath], Awaitable[Found]]
"""What a user means by a root and a path; `NotFound` if the user may not know of it."""


async def opened(
    context: ComputeContext, find: Find, root: RootName, document: StoredExpression
) -> Computed:
    """A computed dataset as one user reads it: it needs what the user may read, and no more.

    Whatever keeps it from being computed is told when it is read: until then what it looked
    like when it was made is told of it.

    Raises
    ------
    SourceCorrupt
        If it is no expression.
    StaleVersion
        If it changed just now.
    """
    operands = _Operands(context, find)
    recipe = await operands.recipe(document)
    expression = Expression(recipe.expression, recipe.operands)
    name = full_name(root, document.path)
    try:
        node = await operands.plan(name, expression)
        now = recipe_of(expression, node)
        etag = f"{document.etag} {node.key}"
        info = describe(now, document.path, etag, max(document.mtime, operands.mtime))
        return Computed(info, expression, node, context, operands.offline)
    except StaleVersion:
        raise
    except CatervaError as error:
        why = _why(name, error)
    info = describe(recipe, document.path, f"{document.etag} gone", document.mtime)
    return Computed(info, expression, why, context)


def _why(name: str, error: CatervaError) -> CatervaError:
    """What is told to who reads an expression that can't be computed."""
    told = f"{name} can't be computed: {error.detail}"
    if isinstance(error, NotFound | BadExpression | TooLarge):
        return OperandGone(told)
    return type(error)(told, info=error.info, after_ms=error.after_ms)


async def made(
    context: ComputeContext,
    find: Find,
    asked: Expression,
    path: DatasetPath,
    root: RootName | None,
) -> Computed:
    """A new expression, with those operands that it has.

    Parameters
    ----------
    context : ComputeContext
    find : callable
    asked : Expression
    path : DatasetPath
    root : RootName or None
        Where it is to be stored; without one its result is, which may take an operand's place.

    Raises
    ------
    BadExpression
        If it is not one, or would be computed of itself.
    NotFound
        If an operand does not exist.
    """
    names = syntax.names(await context.pool.run(lambda: syntax.parse(asked.text)))
    for name in asked.operands:
        syntax.check_operand(name)
    for name in names:
        if name not in asked.operands:
            raise BadExpression(
                f"Expression error: {name} is not in the list of available datasets"
            )
    if not 0 < len(names) <= limits.OPERANDS:
        raise BadExpression(
            f"Invalid name or expression: it has {len(names)} operands, not 1 to {limits.OPERANDS}"
        )
    expression = Expression(asked.text.strip(), {name: asked.operands[name] for name in names})
    operands = _Operands(context, find)
    node = await operands.plan(full_name(root, path) if root else "", expression)
    info = describe(recipe_of(expression, node), path, node.key, 0.0)
    return Computed(info, expression, node, context)


def stored(computed: Computed) -> bytes:
    """The bytes of a file that holds an expression.

    Raises
    ------
    BadExpression
        If they are too many.
    """
    info, expression = computed.info, computed.expression
    assert expression is not None
    body = recipes.pack(
        recipes.Recipe(
            expression=expression.text, operands=expression.operands,
            shape=info.shape, chunks=info.chunks, blocks=info.blocks, dtype=info.dtype,
        )
    )  # fmt: skip
    if len(body) > limits.RECIPE_BYTES:
        raise BadExpression("Invalid name or expression: the operands have too long paths")
    return body


class _Operands:
    """Opens the operands of an expression, and theirs; each once, so of one version."""

    def __init__(self, context: ComputeContext, find: Find) -> None:
        self._pool = context.pool
        self._find = find
        self._known: dict[str, Plan] = {}
        self._within: list[str] = []
        self._count = 0
        self.offline = False
        self.mtime = 0.0

    async def plan(self, name: str, expression: Expression) -> Plan:
        """What the expression of some name means."""
        if len(self._within) >= limits.EXPRESSION_NESTING:
            raise BadExpression(
                f"Invalid name or expression: more than EXPRESSION_NESTING, "
                f"{limits.EXPRESSION_NESTING}, expressions over expressions"
            )
        self._within.append(name)
        operands = {
            operand: await self._operand(operand, path)
            for operand, path in expression.operands.items()
        }
        self._within.pop()
        text = expression.text
        return await self._thought(len(text), lambda: self._planned(text, operands))

    def _planned(self, text: str, operands: dict[str, Plan]) -> Plan:
        tree = syntax.parse(text)
        self._count += sum(1 for _ in syntax.nodes(tree))
        if self._count > limits.EXPRESSION_NODES:
            raise BadExpression(
                "Invalid name or expression: with the expressions among its operands it is longer "
                f"than EXPRESSION_NODES, {limits.EXPRESSION_NODES}"
            )
        return planning.plan(tree, operands)

    async def recipe(self, document: StoredExpression) -> Recipe:
        """The expression that a file holds; `SourceCorrupt` if it holds none."""
        size = len(document.body)
        return await self._thought(size // 4, lambda: recipes.unpack(document.body))

    async def _thought(self, size: int, work: Callable[[], T]) -> T:
        return work() if size <= SHORT else await self._pool.run(work)

    async def _operand(self, operand: str, written: str) -> Plan:
        root, path = parse_full(written)
        name = full_name(root, path)
        if name in self._known:
            return self._known[name]
        if name in self._within:
            raise BadExpression(f"Invalid name or expression: {name} is computed of itself")
        try:
            found = await self._find(root, path)
        except NotFound as error:
            raise NotFound(f"its operand {operand}, {name}: {error.detail}") from None
        if isinstance(found, StoredExpression):
            self.mtime = max(self.mtime, found.mtime)
            recipe = await self.recipe(found)
            node = await self.plan(name, Expression(recipe.expression, recipe.operands))
        else:
            self.offline = self.offline or found.offline
            self.mtime = max(self.mtime, found.info.mtime)
            node = planning.operand(found, name)
        self._known[name] = node
        return node
