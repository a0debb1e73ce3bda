"""Attributes of others: values without a form, and forms without a value, are refused."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest

from caterva2.arrays.attributes import form_of, value_of
from caterva2.errors import BadMessage
from caterva2.limits import constants


def objects(*items: Any) -> Any:
    made = np.empty(len(items), object)
    for n, item in enumerate(items):
        made[n] = item
    return made


def nested(depth: int) -> Any:
    value: Any = b""
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(), objects("a", b"b"), objects(object()), "\ud800", {"\ud800": b""},
        np.array("\ud800"), np.zeros((1,) * 17), np.empty((2**40, 0)), 2**64,
        objects(np.zeros(1), np.zeros(1, "i4")), objects(np.zeros((1, 1))), np.empty(1, "V0"),
        np.zeros((), [(f"f{n}", "i1") for n in range(constants.DTYPE_FIELDS + 1)]),
        nested(constants.METADATA_DEPTH + 1), [[[[nested(30)]]]],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_has_no_form_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        form_of(value)


def form(dtype: Any, value: Any = 0, shape: Any = (), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "value": value} | more


def deep(form: Any) -> Any:
    for _ in range(constants.METADATA_DEPTH + 1):
        form = {"dtype": "list", "items": [form]}
    return form


WRONG: list[Any] = [
    None,
    [],
    {},
    {"dtype": 3},
    {"dtype": "<i4"},
    {"dtype": "<i4", "shape": None, "value": 3} | {"dtype": "O"},
    form("O"),
    form("object"),
    form("<i4; import os"),
    form("<f999999"),
    form("[('a', '<i4')]", [0]),
    form("<i4", 1.5),
    form("<i4", True),
    form("<i4", "1"),
    form("|i1", 128),
    form("<i4", [1]),
    form("<i4", [1, 2], [3]),
    form("<i4", [[1], []], [2, 1]),
    form("<i4", [], [-1]),
    form("<i4", [], [True]),
    form("<i4", [], [2**40]),
    form("<i4", 0, [1] * 17),
    form("<i4", [], "x"),
    form("|b1", 1),
    form("<f4", math.nan),
    form("<f4", "nan"),
    form("<f4", "0x7f"),
    form("<f4", "0xzzzzzzzz"),
    form("<f4", 1e300),
    form("<f8", 10**400),
    form("<c8", [1]),
    form("<c8", 1),
    form("<M8[s]", "never"),
    form("<M8[s]", 2**63),
    form("|S1", "YWI="),
    form("|S1", "%"),
    form("|S1", 3),
    form("|V2", "YQ=="),
    form("<U1", "ab"),
    form("<U1", 1),
    form("text", 3),
    form("bytes", "%"),
    form("reference", None),
    form("text", "a", [1]),
    form("<i4", enum=[1]),
    form("<i4", enum={"a": 1.5}),
    form("|i1", enum={"a": 300}),
    form("<f4", enum={"a": 1}),
    form("record"),
    form("record", fields={}),
    form("record", fields={"a": form("<i4", [1], [1])}, shape=[2]),
    form("record", fields={"a": {"dtype": "json", "value": 1}}),
    form("record", fields={str(n): form("<i4") for n in range(constants.DTYPE_FIELDS + 1)}),
    form("vlen", lengths=[1], items=form("<i4", [1, 2], [2]), shape=[1]),
    form("vlen", lengths=[3, -1], items=form("<i4", [1, 2], [2]), shape=[2]),
    form("vlen", lengths=[2], items=form("<i4", [1, 2], [2]), shape=[2]),
    form("vlen", lengths=3, items=form("<i4")),
    {"dtype": "json", "value": math.nan},
    {"dtype": "json", "value": b""},
    {"dtype": "json", "value": {1: 2}},
    {"dtype": "list", "items": {}},
    {"dtype": "map", "items": [[form("<i4")]]},
    {"dtype": "map", "items": [[{"dtype": "json", "value": []}, form("<i4")]]},
    deep(form("<i4")),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong)[:60])
def test_what_is_no_form_is_refused(wrong: Any) -> None:
    with pytest.raises(BadMessage, match="it is no attribute"):
        value_of(wrong)


def test_a_float_that_is_an_integer_in_json_is_a_float() -> None:
    assert struct.pack("<d", value_of(form("<f8", 1))) == struct.pack("<d", 1.0)
