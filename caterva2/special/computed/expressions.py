"""Expressions of special roots: opening a stored one for a user, and new ones."""

from __future__ import annotations

from caterva2.compute import recipes, syntax
from caterva2.errors import (
    BadExpression,
    CatervaError,
    NotFound,
    OperandGone,
    StaleVersion,
    TooLarge,
)
from caterva2.limits.constants import RECIPE_BYTES
from caterva2.model import Expression
from caterva2.names import DatasetPath, RootName, full_name
from caterva2.special.computed.context import ComputeContext, Planned
from caterva2.special.computed.dataset import ComputedDataset, describe, recipe_of
from caterva2.special.computed.operands import Find, Operands, digest, version_of
from caterva2.special.stored import ParsedExpression, StoredExpression


async def open_stored(
    context: ComputeContext, find: Find, root: RootName, stored: StoredExpression
) -> ComputedDataset:
    """Open a stored expression for one user, over operands that this user may read.

    If it can't be computed now, it can still be opened: it has the description that was stored
    with it, and each read raises the reason.

    Raises
    ------
    SourceCorrupt
        If the file does not hold an expression.
    StaleVersion
        If an operand changed just now.
    """
    parsed = await context.parsed(stored)
    assert parsed.recipe is not None
    expression = Expression(parsed.text, dict(parsed.operands))
    name = full_name(root, stored.path)
    operands = Operands(context, find)
    try:
        await operands.open(name, parsed)
        planned = await _planned(context, name, stored, expression, operands)
    except StaleVersion:
        raise
    except CatervaError as error:
        reason = _reason(name, error)
    else:
        return ComputedDataset(
            planned.info, expression, planned.plan, operands.sources, context, operands.offline
        )
    info = describe(parsed.recipe, stored.path, digest(f"{stored.etag} gone"), stored.mtime)
    return ComputedDataset(info, expression, reason, {}, context)


async def _planned(
    context: ComputeContext,
    name: str,
    stored: StoredExpression,
    expression: Expression,
    operands: Operands,
) -> Planned:
    """Plan an expression, or return its kept plan if no version has changed."""
    key = name, stored.etag, operands.key()
    planned = context.plans.get(key)
    if planned is None:
        node = await operands.plan(name)
        mtime = max(stored.mtime, operands.mtime)
        recipe = recipe_of(expression, node, context.limits)
        info = describe(recipe, stored.path, version_of(stored.etag, node), mtime)
        planned = Planned(node, info, len(operands.sources))
        context.plans.put(key, planned)
    return planned


def _reason(name: str, error: CatervaError) -> CatervaError:
    """Return the error that reading an expression raises if it can't be computed."""
    reason = f"{name} can't be computed: {error.detail}"
    if isinstance(error, NotFound | BadExpression | TooLarge):
        return OperandGone(reason)
    return type(error)(reason, info=error.info, after_ms=error.after_ms)


async def new(
    context: ComputeContext,
    find: Find,
    given: Expression,
    path: DatasetPath,
    root: RootName | None,
) -> ComputedDataset:
    """Open a new expression, over those of the given operands that it uses.

    Parameters
    ----------
    context : ComputeContext
    find : callable
    given : Expression
    path : DatasetPath
    root : RootName or None
        Where it will be stored; None if its result is, which may replace an operand.

    Raises
    ------
    BadExpression
        If it is invalid, or would be computed from itself.
    NotFound
        If an operand does not exist.
    """
    parsed = await checked(context, given)
    operands = Operands(context, find)
    node = await operands.plan_of(full_name(root, path) if root else "", parsed)
    expression = Expression(parsed.text, dict(parsed.operands))
    info = describe(recipe_of(expression, node, context.limits), path, digest(node.key), 0.0)
    return ComputedDataset(info, expression, node, operands.sources, context)


async def checked(context: ComputeContext, given: Expression) -> ParsedExpression:
    """Parse a new expression, with those of the given operands that it uses.

    Raises
    ------
    BadExpression
        If it is invalid.
    """
    limits = context.limits
    tree = await context.run(
        len(given.text), lambda: syntax.parse(given.text, limits.expression_nodes)
    )
    names = syntax.names(tree)
    for name in given.operands:
        syntax.check_operand(name)
    for name in names:
        if name not in given.operands:
            raise BadExpression(
                f"Expression error: {name} is not in the list of available datasets"
            )
    if not 0 < len(names) <= limits.operands:
        raise BadExpression(
            f"Invalid name or expression: it has {len(names)} operands, not 1 to {limits.operands}"
        )
    used = {name: given.operands[name] for name in names}
    return ParsedExpression(given.text.strip(), used, tree)


def serialize(computed: ComputedDataset) -> bytes:
    """Return the content of the file that stores an expression.

    Raises
    ------
    BadExpression
        If it is too long.
    """
    info, expression = computed.info, computed.expression
    assert expression is not None
    body = recipes.pack(
        recipes.Recipe(
            expression=expression.text, operands=expression.operands,
            shape=info.shape, chunks=info.chunks, blocks=info.blocks, dtype=info.dtype,
        )
    )  # fmt: skip
    if len(body) > RECIPE_BYTES:
        raise BadExpression("Invalid name or expression: the operands have too long paths")
    return body
