"""Expressions in Python: their text, what becomes one, and what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import caterva2
from caterva2.client.errors import Unreachable
from caterva2.client.lazy.term import UFUNCS
from caterva2.client.objects.dataset import Dataset
from caterva2.compute.functions import FUNCTIONS
from tests.httpscript import Received, Reply
from tests.memorytransport import MemoryTransport

META = {"shape": [4], "chunks": [4], "blocks": [4], "dtype": "int64", "kind": "array", "etag": "e"}


def offline(_: Received) -> Reply:
    raise AssertionError("nothing is requested")


def dataset(path: str = "r/a.b2nd", where: str = "memory:", dtype: str = "int64") -> Dataset:
    transport = MemoryTransport(offline)
    transport.urlbase = where
    return Dataset(caterva2.Client.over(transport), path, META | {"dtype": dtype})


A, B = dataset(), dataset("r/b.b2nd")
RECORD = dataset("r/r.b2nd", dtype=str([("x y", "<i4"), ("it's", "<f8")]))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (lambda: A + 1, "(o0 + 1)"),
        (lambda: 1 - A, "(1 - o0)"),
        (lambda: A * B - A, "((o0 * o1) - o0)"),
        (lambda: A**-2 // 3 % 4, "(((o0 ** (-2)) // 3) % 4)"),
        (lambda: 2 ** (A / 1.5), "(2 ** (o0 / 1.5))"),
        (lambda: ~(A < 3) & (A >= B) | (B.__lt__(2)), "(((~(o0 < 3)) & (o0 >= o1)) | (o1 < 2))"),
        (lambda: A << 1 >> 2 ^ 7, "(((o0 << 1) >> 2) ^ 7)"),
        (lambda: abs(-A) + +B, "(abs((-o0)) + (+o1))"),
        (lambda: A + np.float32(0.5), "(o0 + 0.5)"),
        (lambda: np.int8(3) * A, "multiply(3, o0)"),
        (lambda: A + float("nan"), "(o0 + nan)"),
        (lambda: A + 1j, "(o0 + 1j)"),
        (lambda: A + True, "(o0 + True)"),
        (lambda: np.hypot(np.sin(A), np.absolute(B)), "hypot(sin(o0), abs(o1))"),
        (lambda: np.equal(A, B), "equal(o0, o1)"),
        (lambda: RECORD.fields["x y"] + RECORD.fields["it's"], "(o0['x y'] + o0[\"it's\"])"),
    ],
)
def test_operators_write_an_expression(expression: Any, text: str) -> None:
    made = expression()
    assert isinstance(made, caterva2.Expression)
    assert made.text == text
    assert set(map(str, made.operands.values())) <= {"r/a.b2nd", "r/b.b2nd", "r/r.b2nd"}
    assert text in repr(made)


def test_functions_have_the_names_of_the_syntax() -> None:
    assert set(UFUNCS.values()) <= FUNCTIONS.keys()
    for name in UFUNCS:
        ufunc = getattr(np, name)
        assert ufunc.__name__ == name
        assert ufunc.nargs - 1 == FUNCTIONS[UFUNCS[name]].count


def test_operands_are_of_one_subscriber() -> None:
    with pytest.raises(caterva2.BadRequest, match="several subscribers: memory:, other:"):
        A + dataset(where="other:")


@pytest.mark.parametrize("other", ["text", None, [1], object(), 10**400])
def test_other_values_are_no_operands(other: Any) -> None:
    if other == 10**400:
        assert (A + other).text.startswith("(o0 + 1000")  # which the subscriber refuses
    else:
        with pytest.raises(TypeError):
            A + other


@pytest.mark.parametrize(
    "work", [lambda e: bool(e), lambda e: list(e), lambda e: 3 in e, lambda e: e and 1]
)
def test_expression_is_no_array_in_memory(work: Any) -> None:
    with pytest.raises(TypeError):
        work(A + 1)
    for name in ("__dlpack__", "__array_namespace__", "__len__", "T"):
        assert not hasattr(A + 1, name)
        assert name == "__len__" or not hasattr(A, name)


@pytest.mark.parametrize("key", [[1, 2], "x", 1.5, None, True, np.array([1]), slice("a", 2)])
def test_key_of_an_expression_is_of_integers_and_slices(key: Any) -> None:
    with pytest.raises(IndexError):
        (A + 1)[key]


@pytest.mark.parametrize(
    "options", [{"dtype": "f4"}, {"out": np.zeros(())}, {"axis": "x"}, {"axis": (0, 1.5)}]
)
def test_reduction_of_a_wrong_kind_is_refused(options: Any) -> None:
    with pytest.raises(caterva2.BadRequest):
        A.sum(**options)


def test_datasets_stay_keys_of_dictionaries() -> None:
    same = {A: 1}
    assert same[A] == 1
    assert A != B
    assert A in [B, A]


def test_answer_that_makes_no_sense_is_an_error() -> None:
    client = caterva2.Client.over(MemoryTransport(lambda _: Reply(200, b"nonsense")))
    with pytest.raises(Unreachable):
        client.compute("a", a="r/a.b2nd")
    for wrong in ({"a": 3}, {"a": None}):
        with pytest.raises(caterva2.BadRequest, match="operand a"):
            client.compute("a", wrong)
    with pytest.raises(caterva2.BadRequest, match="given twice"):
        client.compute("a", {"a": "r/a"}, a="r/b")
    text: Any = A + 1
    with pytest.raises(caterva2.BadRequest, match="not text"):
        client.compute(text)
