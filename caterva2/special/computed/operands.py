"""Operands of an expression, opened with the rights of one user."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

from caterva2.arrays import dtypes
from caterva2.compute import planning
from caterva2.compute.plans import Plan, Source
from caterva2.errors import BadExpression, NotFound
from caterva2.names import DatasetPath, RootName, full_name, parse_full
from caterva2.special.computed.context import ComputeContext
from caterva2.special.stored import ParsedExpression, StoredExpression


@dataclass(frozen=True, slots=True)
class OperandVersion:
    """An operand of a computation, with its ``ROOT/PATH``, in the version that is read."""

    path: str
    etag: str
    shape: tuple[int, ...]
    dtype: str


def version_of(stored: str, node: Plan) -> str:
    """Return the version of the result of an expression: that of its file, over its operands."""
    return digest(f"{stored} {node.key}")


def digest(text: str) -> str:
    """Return an etag for whatever a text names."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


class Operand(Source, Protocol):
    """A dataset that is not computed."""

    @property
    def offline(self) -> bool:
        """Whether only cached chunks can be read."""
        ...


Find = Callable[[RootName, DatasetPath], Awaitable[Operand | StoredExpression]]
"""Opens what a user refers to by a root and a path; `NotFound` if the user may not see it."""


class Operands:
    """The operands of an expression, and those of expressions among them, of one version each.

    Parameters
    ----------
    context : ComputeContext
    find : callable

    Attributes
    ----------
    sources : dict
        The datasets that are read, by their full names.
    offline : bool
        Whether one of them can be read from the cache only.
    mtime : float
        Of the last one that changed, expressions included.
    """

    def __init__(self, context: ComputeContext, find: Find) -> None:
        self.sources: dict[str, Operand] = {}
        self.offline = False
        self.mtime = 0.0
        self._context = context
        self._find = find
        self._expressions: dict[str, ParsedExpression] = {}
        self._etags: list[tuple[str, str]] = []
        self._within: list[str] = []
        self._nodes = self._characters = 0
        self._plans: dict[str, Plan] = {}

    async def open(self, name: str, expression: ParsedExpression) -> None:
        """Open the operands of the expression of a name.

        Raises
        ------
        NotFound
        BadExpression
            If it is computed from itself, or too long with the expressions among its operands.
        """
        limits = self._context.limits
        if len(self._within) >= limits.expression_nesting:
            raise BadExpression(
                f"Invalid name or expression: more than EXPRESSION_NESTING, "
                f"{limits.expression_nesting}, expressions over expressions"
            )
        self._nodes += expression.nodes
        self._characters += len(expression.text)
        if self._nodes > limits.expression_nodes:
            raise BadExpression(
                "Invalid name or expression: with the expressions among its operands it is longer "
                f"than EXPRESSION_NODES, {limits.expression_nodes}"
            )
        self._within.append(name)
        for operand, path in expression.operands.items():
            await self._open(operand, path)
        self._within.pop()
        self._expressions[name] = expression

    async def _open(self, operand: str, written: str) -> None:
        root, path = parse_full(written)
        name = full_name(root, path)
        if name in self.sources or name in self._expressions:
            return
        if name in self._within:
            raise BadExpression(f"Invalid name or expression: {name} is computed of itself")
        try:
            found = await self._find(root, path)
        except NotFound as error:
            raise NotFound(f"its operand {operand}, {name}: {error.detail}") from None
        if isinstance(found, StoredExpression):
            self._etags.append((name, found.etag))
            self.mtime = max(self.mtime, found.mtime)
            await self.open(name, await self._context.parsed(found))
        else:
            self.sources[name] = found
            self.offline = self.offline or found.offline
            self.mtime = max(self.mtime, found.info.mtime)

    def key(self) -> Hashable:
        """Return the versions and descriptions on which a plan over these operands depends."""
        infos = ((name, source.info) for name, source in self.sources.items())
        return tuple(self._etags), tuple(
            (name, info.etag, info.kind, info.shape, info.dtype, info.chunks, info.blocks)
            for name, info in infos
        )

    async def plan_of(self, name: str, expression: ParsedExpression) -> Plan:
        """Open the operands of an expression and plan it, as `open` and `plan` do."""
        await self.open(name, expression)
        return await self.plan(name)

    def version(self, written: str) -> OperandVersion:
        """Describe an operand in the version that was planned, as its ``info`` does."""
        name = full_name(*parse_full(written))
        node, etags = self._plans[name], dict(self._etags)
        etag = version_of(etags[name], node) if name in etags else self.sources[name].info.etag
        return OperandVersion(name, etag, node.shape, dtypes.display(node.dtype))

    async def plan(self, name: str) -> Plan:
        """Plan the expression of a name, which `open` has opened.

        Raises
        ------
        BadExpression, TooLarge
        """
        return await self._context.run(self._characters, lambda: self._plan(name, self._plans))

    def _plan(self, name: str, made: dict[str, Plan]) -> Plan:
        if name not in made:
            expression = self._expressions.get(name)
            if expression is None:
                # A plan may be kept for long, and needs no metadata.
                without: dict[str, object] = {"vlmeta": {}, "attrs": {}, "metalayers": {}}
                info = self.sources[name].info.model_copy(update=without)
                made[name] = planning.operand(info, name)
            else:
                operands = {
                    operand: self._plan(full_name(*parse_full(path)), made)
                    for operand, path in expression.operands.items()
                }
                made[name] = planning.plan(expression.tree, operands, self._context.limits)
        return made[name]
