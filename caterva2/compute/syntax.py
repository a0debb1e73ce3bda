"""Parser of expressions: text to a syntax tree; nothing of it is ever run as Python.

Python's parser reads the text, and each node of its tree has to be one of those allowed here,
which become nodes of our own. A name is an operand, a function of `functions`, or a constant;
the only attributes are reductions, as in ``a.sum()``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Final, NoReturn

from caterva2.compute.functions import CONSTANTS, FUNCTIONS, REDUCTIONS
from caterva2.errors import BadExpression
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import (
    DTYPE_LENGTH,
    EXPRESSION_DEPTH,
    EXPRESSION_LENGTH,
    NDIM,
    OPERAND_NAME,
)

Scalar = bool | int | float | complex
Key = tuple[int | slice | EllipsisType, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand, or a field of an operand with a structured dtype."""

    name: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """An elementwise function; operators are calls of the function of their name."""

    function: str
    arguments: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduction along axes; None stands for all of them."""

    function: str
    argument: Tree
    axes: tuple[int, ...] | None = None
    keepdims: bool = False
    ddof: int = 0


@dataclass(frozen=True, slots=True)
class Subscript:
    """A slice by integers, slices and ``...``."""

    argument: Tree
    key: Key


Tree = Number | Operand | Call | Reduction | Subscript

_UNARY: Final[dict[type[ast.unaryop], str]] = {
    ast.USub: "negative", ast.UAdd: "positive", ast.Invert: "bitwise_invert",
}  # fmt: skip
_BINARY: Final[dict[type[ast.operator], str]] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide",
    ast.FloorDiv: "floor_divide", ast.Mod: "remainder", ast.Pow: "pow",
    ast.BitAnd: "bitwise_and", ast.BitOr: "bitwise_or", ast.BitXor: "bitwise_xor",
    ast.LShift: "bitwise_left_shift", ast.RShift: "bitwise_right_shift",
}  # fmt: skip
_COMPARISONS: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "equal", ast.NotEq: "not_equal", ast.Lt: "less", ast.LtE: "less_equal",
    ast.Gt: "greater", ast.GtE: "greater_equal",
}  # fmt: skip
_FOLDED: Final[dict[str, Callable[..., Any]]] = {
    "negative": operator.neg, "positive": operator.pos, "add": operator.add,
    "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "floor_divide": operator.floordiv, "remainder": operator.mod, "pow": operator.pow,
    "bitwise_left_shift": operator.lshift, "bitwise_right_shift": operator.rshift,
    "bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_xor": operator.xor,
    "bitwise_invert": lambda value: not value if isinstance(value, bool) else ~value,
    "equal": operator.eq, "not_equal": operator.ne, "less": operator.lt,
    "less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge,
}  # fmt: skip
"""Folded if all arguments are numbers, so that the result stays a Python number: it adapts to the
dtype of the array that it is combined with, as ``-1`` and ``2**10`` should."""
_INSTEAD: Final[dict[type[ast.AST], str]] = {
    ast.BoolOp: "'and' and 'or' are written & and |, with parentheses around comparisons",
    ast.Not: "'not' is written ~",
    ast.IfExp: "'if' is written where(condition, then, else)",
    ast.MatMult: "matrix products are not computed",
    ast.Attribute: "attributes are not allowed, but for reductions as in a.sum()",
}


def parse(text: str, max_nodes: int = DEFAULTS.compute.expression_nodes) -> Tree:
    """Parse an expression.

    Raises
    ------
    BadExpression
        If it contains anything that is not allowed, or is too long.
    """
    if len(text) > EXPRESSION_LENGTH:
        raise BadExpression(
            f"Invalid name or expression: {len(text)} characters are more than "
            f"EXPRESSION_LENGTH, {EXPRESSION_LENGTH}"
        )
    try:
        parsed = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it can't be parsed"
        _refuse(f"{reason}: {text[:80]!r}")
    return _Converter(max_nodes).tree(parsed.body, 1)


def names(tree: Tree) -> list[str]:
    """Return the operands of an expression, each once, in order."""
    return list(dict.fromkeys(node.name for node in nodes(tree) if isinstance(node, Operand)))


def nodes(tree: Tree) -> Iterator[Tree]:
    """Yield all nodes of an expression."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        match node:
            case Call(_, arguments):
                pending += reversed(arguments)
            case Reduction(_, argument) | Subscript(argument):
                pending.append(argument)


def check_operand(name: str) -> None:
    """Refuse a name that is not allowed for an operand.

    Raises
    ------
    BadExpression
    """
    known = name in FUNCTIONS or name in REDUCTIONS or name in CONSTANTS
    try:
        read = parse(name) if name.isidentifier() else None
    except BadExpression:  # a keyword
        read = None
    if known or len(name) > OPERAND_NAME or read != Operand(name):
        _refuse(f"{name[:80]!r} can't be the name of an operand")


def _refuse(why: str) -> NoReturn:
    raise BadExpression(f"Invalid name or expression: {why}")


class _Converter:
    """Convert Python's syntax tree, counting its nodes."""

    def __init__(self, max_nodes: int) -> None:
        self._max_nodes = max_nodes
        self._count = 0

    def tree(self, node: ast.AST, depth: int) -> Tree:
        self._count += 1
        if self._count > self._max_nodes or depth > EXPRESSION_DEPTH:
            _refuse(
                f"it is longer than EXPRESSION_NODES, {self._max_nodes}, or nested deeper than "
                f"EXPRESSION_DEPTH, {EXPRESSION_DEPTH}"
            )
        match node:
            case ast.Constant(value=value):
                return _number(value)
            case ast.Name(id=name):
                return _name(name)
            case ast.UnaryOp(op=op, operand=inner) if type(op) in _UNARY:
                return _call(_UNARY[type(op)], (self.tree(inner, depth + 1),))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                both = self.tree(left, depth + 1), self.tree(right, depth + 1)
                return _call(_BINARY[type(op)], both)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                both = self.tree(left, depth + 1), self.tree(right, depth + 1)
                return _call(_COMPARISONS[type(op)], both)
            case ast.Call():
                return self._called(node, depth)
            case ast.Subscript(value=inner, slice=key):
                return _subscript(self.tree(inner, depth + 1), key)
            case _:
                return self._refused(node)

    def _refused(self, node: ast.AST) -> NoReturn:
        if isinstance(node, ast.Compare) and len(node.ops) > 1:
            _refuse("comparisons in a chain are written (a < b) & (b < c)")
        unfit = node.op if isinstance(node, ast.BinOp | ast.UnaryOp) else node
        _refuse(_INSTEAD.get(type(unfit), f"{type(unfit).__name__} is not allowed"))

    def _called(self, node: ast.Call, depth: int) -> Tree:
        given = list(node.args)
        match node.func:
            case ast.Name(id=name) if name in FUNCTIONS or name in REDUCTIONS:
                pass
            case ast.Attribute(value=inner, attr=name) if name in REDUCTIONS:
                given.insert(0, inner)
            case ast.Name(id=name):
                _refuse(f"there is no function {name[:80]!r}")
            case ast.Attribute(attr=name):
                _refuse(f"there is no method {name[:80]!r}")
            case _:
                _refuse("only functions can be called, by their names")
        if name in REDUCTIONS:
            return self._reduction(name, given, node.keywords, depth)
        if node.keywords:
            _refuse(f"{name} takes no keywords")
        if len(given) != FUNCTIONS[name].count:
            _refuse(f"{name} takes {FUNCTIONS[name].count} arguments, not {len(given)}")
        return _call(name, tuple(self.tree(argument, depth + 1) for argument in given))

    def _reduction(
        self, name: str, given: list[ast.expr], keywords: list[ast.keyword], depth: int
    ) -> Tree:
        if not 1 <= len(given) <= 2:
            _refuse(f"{name} takes an array, and optionally an axis")
        options = {word.arg: word.value for word in keywords}
        known = {"axis", "keepdims"} | ({"ddof"} if name in ("std", "var") else set())
        if len(given) == 2:
            known.remove("axis")
        if len(options) < len(keywords) or not options.keys() <= known:
            _refuse(f"the keywords of {name} are {', '.join(sorted(known))}")
        axis = given[1] if len(given) == 2 else options.get("axis")
        axes = None if axis is None else _axes(axis)
        if name in ("argmin", "argmax") and axes is not None and len(axes) != 1:
            _refuse(f"{name} takes one axis")
        keepdims, ddof = options.get("keepdims"), options.get("ddof")
        return Reduction(
            name, self.tree(given[0], depth + 1), axes,
            keepdims is not None and _flag(keepdims), 0 if ddof is None else _integer(ddof),
        )  # fmt: skip


def _number(value: object) -> Number:
    if not isinstance(value, bool | int | float | complex):
        _refuse(f"{type(value).__name__} is not a number")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        _refuse("an integer is larger than 64 bits")
    return Number(value)


def _name(name: str) -> Number | Operand:
    if name in CONSTANTS:
        return Number(CONSTANTS[name])
    if name in FUNCTIONS or name in REDUCTIONS:
        _refuse(f"the function {name} lacks its arguments")
    if name.startswith("__") or len(name) > OPERAND_NAME:
        _refuse(f"{name[:80]!r} can't be the name of an operand")
    return Operand(name)


def _call(function: str, arguments: tuple[Tree, ...]) -> Tree:
    numbers = [argument.value for argument in arguments if isinstance(argument, Number)]
    if function not in _FOLDED or len(numbers) < len(arguments):
        return Call(function, arguments)
    if all(isinstance(number, int) for number in numbers):
        _check_growth(function, [int(number.real) for number in numbers])
    try:
        return _number(_FOLDED[function](*numbers))
    except (ArithmeticError, TypeError, ValueError) as error:
        _refuse(f"{function} of {', '.join(map(str, numbers))}: {error}")


def _check_growth(function: str, numbers: list[int]) -> None:
    """Refuse an integer of many bits before it is computed."""
    if function == "pow":
        base, exponent = numbers
        bits = exponent * abs(base).bit_length() if abs(base) > 1 else 0
    elif function == "bitwise_left_shift":
        bits = abs(numbers[0]).bit_length() + numbers[1]
    else:
        return
    if bits > 128:
        _refuse("an integer is larger than 64 bits")


def _subscript(inner: Tree, key: ast.expr) -> Tree:
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        if not isinstance(inner, Operand) or inner.field or not key.value:
            _refuse("fields are those of an operand, as in a['x']")
        if len(key.value) > DTYPE_LENGTH:
            _refuse("the name of a field is too long")
        return Operand(inner.name, key.value)
    entries = key.elts if isinstance(key, ast.Tuple) else [key]
    if len(entries) > NDIM + 1:
        _refuse("there are too many indices")
    return Subscript(inner, tuple(map(_entry, entries)))


def _entry(entry: ast.expr) -> int | slice | EllipsisType:
    if isinstance(entry, ast.Slice):
        bounds = (entry.lower, entry.upper, entry.step)
        return slice(*(None if bound is None else _integer(bound) for bound in bounds))
    if isinstance(entry, ast.Constant) and entry.value is Ellipsis:
        return Ellipsis
    return _integer(entry)


def _axes(node: ast.expr) -> tuple[int, ...] | None:
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    entries = node.elts if isinstance(node, ast.Tuple) else [node]
    return tuple(map(_integer, entries))


def _integer(node: ast.expr) -> int:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1, node.operand
    if not isinstance(node, ast.Constant) or type(node.value) is not int:
        _refuse("axes and indices are plain integers")
    if node.value >= 2**63:
        _refuse("an axis or index is larger than 64 bits")
    return sign * node.value


def _flag(node: ast.expr) -> bool:
    if not isinstance(node, ast.Constant) or not isinstance(node.value, bool):
        _refuse("keepdims is True or False")
    return node.value
