"""dtype strings: the grammar, and nothing outside of it."""

from __future__ import annotations

import numpy as np
import pytest

from caterva2.arrays import dtypes
from caterva2.errors import BadMessage
from caterva2.limits import constants

PLAIN = ["<i4", ">f8", "|u1", "|b1", "<c16", "|S6", "<U6", "|V3", "<M8[ns]", "<m8[25s]", "?", "=i8"]
STRUCTS = [
    "[('a', '<i4'), ('b', '<f8'), ('c', 'S10'), ('d', '?')]",
    "[('a', '<i4', (2, 3)), ('b', [('c', '|u1'), ('d', '<f4')])]",
    "[('', '|V4'), ('x', '<i4')]",
]


@pytest.mark.parametrize("text", [*PLAIN, "float64", "bool", "uint8", "datetime64[ns]", *STRUCTS])
def test_allowed(text: str) -> None:
    expected = np.dtype(eval(text)) if text.startswith("[") else np.dtype(text)
    assert dtypes.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "O",
        "|O8",
        "object",
        "i4,f8",
        "<i4\n",
        "3i4",
        "i3",
        "S0",
        "V0",
        "S65537",
        "S999999",
        "U99999",
        "M8[xx]",
        "float64 ",
        "__import__('os')",
        "[]",
        "[('a', 'O')]",
        "[('a',)]",
        "[('a', '<i4', (0,))]",
        "[('a', '<i4', (-1,))]",
        "[('a', '<i4', (65536, 65536))]",
        "[('a', '<i4'), ('a', '<i4')]",
        "[('a', 'S0')]",
        "[(1, '<i4')]",
        "[('a', '<i4', 'x')]",
        "[('a', __import__('os'))]",
        "[('a', {'names': ['x']})]",
        "[" * 2000,
        "[('a', '<i4')",
        "['a']",
        "x" * (constants.DTYPE_LENGTH + 1),
        repr([(f"f{n}", "u1") for n in range(200)]) * 2,
        "[('a', [" + ", ".join(f"('{n}','u1')" for n in range(constants.DTYPE_FIELDS + 1)) + "])]",
        "[" + "('a', [" * 32 + "('a','u1')" + "])" * 32 + "]",
        "[('a', '<i4', " + "-" * 9000 + "1)]",
        "[('a', '<i4', 1" + "+1" * 9000 + ")]",
        "[('a', '<i4', " + "(" * 9000 + ")]",
        "[(('title', 'a', 'b'), '<i4')]",
        "[((1, 'a'), '<i4')]",
        "[(('title', 1), '<i4')]",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        dtypes.parse(text)


@pytest.mark.parametrize("text", [*PLAIN, *STRUCTS])
def test_what_describe_writes_parse_reads(text: str) -> None:
    dtype = dtypes.parse(text)
    assert dtypes.parse(dtypes.describe(dtype)) == dtype


def test_titles_of_fields_are_dropped() -> None:
    text = "[(('a title', 'a'), '<i4'), ('b', [(('another', 'c'), '<f4', (2,))])]"
    assert dtypes.parse(text) == [("a", "<i4"), ("b", [("c", "<f4", (2,))])]


def test_a_thousand_fields_with_names_of_20_letters_are_allowed() -> None:
    dtype = np.dtype([(f"channel_number_{n:05d}", "<f8") for n in range(1000)])
    assert dtypes.parse(dtypes.describe(dtype)) == dtype


def test_display_is_what_numpy_prints() -> None:
    assert dtypes.display(np.dtype("i8")) == "int64"
    assert dtypes.display(np.dtype("<U6")) == "<U6"
    assert dtypes.display(np.dtype([("a", "<i4")])) == "[('a', '<i4')]"
