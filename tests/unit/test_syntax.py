"""Syntax of expressions and their stored form: what is accepted, and what is refused."""

from __future__ import annotations

import ast
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caterva2.compute import recipes, syntax
from caterva2.compute.functions import FUNCTIONS, REDUCTIONS
from caterva2.compute.recipes import Recipe
from caterva2.compute.syntax import Call, Number, Operand, Reduction, Subscript
from caterva2.errors import BadExpression, SourceCorrupt
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import RECIPE_BYTES
from caterva2.sources.kinds import RECIPE_MAGIC

A, B = Operand("a"), Operand("b")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", A),
        (" a + b ", Call("add", (A, B))),
        ("-a**2", Call("negative", (Call("pow", (A, Number(2))),))),
        ("a * -1", Call("multiply", (A, Number(-1)))),
        ("2**10 * a", Call("multiply", (Number(1024), A))),
        ("~a | (b != 1)", Call("bitwise_or", (
            Call("bitwise_invert", (A,)), Call("not_equal", (B, Number(1)))
        ))),
        ("where(a > nan, a, 1.5j)", Call("where", (
            Call("greater", (A, Number(float("nan")))), A, Number(1.5j)
        ))),
        ("sum(a)", Reduction("sum", A)),
        ("sum(a, -1)", Reduction("sum", A, (-1,))),
        ("a.std(axis=(0, 1), keepdims=True, ddof=1)", Reduction("std", A, (0, 1), True, 1)),
        ("(a + b).max(axis=None)", Reduction("max", Call("add", (A, B)))),
        ("a[1, ::-2, ...]", Subscript(A, (1, slice(None, None, -2), ...))),
        ("a['x'][:3]", Subscript(Operand("a", "x"), (slice(None, 3, None),))),
    ],
)  # fmt: skip
def test_expression_is_understood(text: str, tree: syntax.Tree) -> None:
    assert repr(syntax.parse(text)) == repr(tree)


ESCAPES = [
    # attributes and dunders
    "a.__class__", "a.__class__.__base__.__subclasses__()", "a.dtype", "a.T", "a.tofile('x')",
    "a.sum.__globals__", "().__class__", "(1).__class__", "a.sum().__reduce__()", "a.real",
    "__builtins__", "__import__('os')", "__name__", "a.__sum__()", "a.dump('/tmp/x')",
    # names and calls outside of the list
    "print(a)", "open('/etc/passwd')", "eval('1')", "exec('1')", "getattr(a, 'x')",
    "os.system('x')",
    "np.sum(a)", "blosc2.open('x')", "numpy.fromfile('x')", "load(a)", "type(a)", "globals()",
    "vars()", "a()", "sum(a)(a)", "(lambda: a)()", "a[0]()", "'x'.join(a)", "compile(a, a, a)",
    "frombuffer(a)", "fromfunction(a)", "lazyudf(a)", "asarray(a)", "arange(1)",
    # statements, and what makes things
    "import os", "a; b", "a = 1", "a\nb", "del a", "lambda: a", "lambda a: a", "[a]", "(a, b)",
    "{a}", "{a: b}", "{}", "[x for x in a]", "{x for x in a}", "(x for x in a)",
    "{x: x for x in a}",
    "f'{a}'", "f'{a.__class__}'", "(x := a)", "a if b else a", "a and b", "not a", "yield a",
    "await a", "*a", "sum(*a)", "sum(**a)", "sum(a, **b)", "where(*a)", "a @ b", "a is b", "a in b",
    # strings and other constants
    "'a'", "b'a'", "a + 'x'", "'%s' % a", "'a' * 9999", "None", "...", "a == 'x'", "'a'['b']",
    # too large
    "2**10000000", "9**9**9", "1 << 10**9", "-2**9999", "10**400 * 1.0", "18446744073709551616",
    "2.0**99999", "1e300**2", "0**-1", "1 // 0", "1 % 0", "1 << -1", "a[99999999999999999999]",
    "(" * 1000 + "a" + ")" * 1000, "-" * 3000 + "a",
    "a" + "+a" * 1000, "sin(" * 90 + "a" + ")" * 90 + "+a" * 30,
    "~" * 4000 + "a", "a" * 100, "a" + " " * 5000, "a[" + "0," * 20 + "]", "a" + "[0]" * 400,
    # what is meant otherwise
    "a[b]", "a[a]", "a[1.5]", "a[True]", "a[None]", "a['x']['y']", "(a + b)['x']", "a['']",
    "a[[1, 2]]", "a[1:b]", "a < b < a", "sum", "sum()", "sum(a, b)", "sum(a, 0, 1)",
    "sum(a, axis=b)", "sum(a, 0, axis=0)", "sum(a, out=b)", "sum(a, where=b)", "sum(a, dtype='O')",
    "sum(a, axis=0, axis=1)", "sum(a, ddof=1)", "sum(a, keepdims=1)", "argmax(a, (0, 1))",
    "sin(a, out=b)", "sin(a, a)", "where(a)", "sin()",
    "", " ", "a +", "a b", "a\0", "\0", "\ud800", "a#", "a\\", "$a", "a?", "1a", "{{7*7}}", "%s",
]  # fmt: skip


@pytest.mark.parametrize("text", ESCAPES, ids=lambda text: ascii(text[:40]))
def test_anything_else_is_refused(text: str) -> None:
    if text == "a#":
        assert syntax.parse(text) == A  # a comment, and no more than that
        return
    with pytest.raises(BadExpression) as refused:
        syntax.parse(text)
    assert len(str(refused.value)) < 300


@given(st.text(alphabet="ab01.,:()[]{}+-*/%<>=!&|^~@#'\"\\_ \nsumlode;fi", max_size=60))
def test_no_text_does_anything_but_be_understood_or_refused(text: str) -> None:
    try:
        tree = syntax.parse(text)
    except BadExpression:
        return
    assert set(syntax.names(tree)) <= _names(text)


def _names(text: str) -> set[str]:
    return {
        node.id for node in ast.walk(ast.parse(text.strip(), mode="eval"))
        if isinstance(node, ast.Name)
    }  # fmt: skip


def test_operands_are_listed_once_and_in_order() -> None:
    assert syntax.names(syntax.parse("b + sin(a['x']) * b - c[0].sum()")) == ["b", "a", "c"]


@pytest.mark.parametrize(
    "name", ["", "sum", "sin", "nan", "__x__", "if", "None", "a.b", "1", "a b", "ﬁ", "a" * 65, "a#"]
)
def test_name_that_no_operand_can_have(name: str) -> None:
    with pytest.raises(BadExpression):
        syntax.check_operand(name)


def test_functions_are_those_that_blosc2_documents() -> None:
    from blosc2.utils import elementwise_funcs, reducers

    assert FUNCTIONS.keys() - {"power"} <= set(elementwise_funcs)
    assert REDUCTIONS.keys() <= set(reducers)


# --- how they are stored ---

RECIPE = Recipe(
    expression="a + 1", operands={"a": "foo/x.b2nd"}, shape=(3,), chunks=(2,), blocks=(1,),
    dtype="<i8",
)  # fmt: skip


def test_stored_expression_is_read_back() -> None:
    assert recipes.unpack(recipes.pack(RECIPE)) == (RECIPE, syntax.parse("a + 1"))


@pytest.mark.parametrize(
    "changed",
    [
        {"expression": "a.__class__"},
        {"expression": "b"},
        {"expression": "a + b"},
        {"expression": "1"},
        {"operands": {}},
        {"operands": {"a": "../x.b2nd"}},
        {"operands": {"a": "/etc/passwd"}},
        {"operands": {"a": "foo"}},
        {"operands": {"a": 1}},
        {"operands": {"a": "foo/x", "b": "foo/x"}},
        {"dtype": "O"},
        {"dtype": "object"},
        {"shape": [-1]},
        {"shape": [1] * 99},
        {"shape": "3"},
        {"chunks": [2**40]},
        {"chunks": [0]},
        {"chunks": [2, 2]},
        {"blocks": [3]},
        {"blocks": []},
    ],
    ids=str,
)
def test_forged_expression_is_refused(changed: dict[str, object]) -> None:
    body = json.dumps(RECIPE.model_dump() | changed).encode()
    with pytest.raises(SourceCorrupt):
        recipes.unpack(RECIPE_MAGIC + body)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", RECIPE_MAGIC, RECIPE_MAGIC + b"{", RECIPE_MAGIC + b"[" * 9999, RECIPE_MAGIC[:-1]],
    ids=repr,
)
def test_content_that_is_not_an_expression_is_refused(body: bytes) -> None:
    with pytest.raises(SourceCorrupt):
        recipes.unpack(body)


def test_stored_expression_that_is_too_large_is_refused() -> None:
    with pytest.raises(SourceCorrupt):
        recipes.unpack(recipes.pack(RECIPE) + b" " * RECIPE_BYTES)


def test_stored_expression_over_the_limits_is_refused() -> None:
    body = recipes.pack(RECIPE)
    for limits in (
        dataclasses.replace(DEFAULTS.compute, expression_nodes=2),
        dataclasses.replace(DEFAULTS.compute, operands=0),
    ):
        with pytest.raises(SourceCorrupt, match=r"EXPRESSION_NODES, 2|OPERANDS, 0"):
            recipes.unpack(body, limits)


def test_expression_of_more_nodes_than_allowed_is_refused() -> None:
    assert syntax.parse("a + a + a", max_nodes=5)
    with pytest.raises(BadExpression, match="EXPRESSION_NODES, 4"):
        syntax.parse("a + a + a", max_nodes=4)
