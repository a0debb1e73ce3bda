"""Queries of a search: what they find, what they refuse, and the facts that they look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import samples

from caterva2.arrays.attributes import form_of
from caterva2.browsing.facts import INDESCRIBABLE, TEXT, Facts, KnownFacts, attribute_text
from caterva2.browsing.query import LENGTH, WORDS, Query, parse
from caterva2.errors import BadRequest
from caterva2.names import DatasetPath

ARRAY = Facts(">f4", (100, 20, 3), ("unit", "n", "a=b"), ("mm", "7.0", "x"))
RECORDS = Facts("[('a', '<i4')]", (5,))
STRING = Facts("", (77,), ("unit",), ("mm",))
PATHS = [DatasetPath(path) for path in ("Run1/Scan.b2nd", "run2/scan.b2nd", "\u00c4/STRASSE")]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("", [0, 1, 2]), ("scan", [0, 1]), ("RUN2", [1]), ("scan run1", [0]), ("n1/s", [0]),
        ("stra\u00dfe", [2]), ("\u00e4", [2]), ("scan nothing", []),
    ],
)  # fmt: skip
def test_words_of_paths(q: str, found: list[int]) -> None:
    assert parse(q).named(PATHS) == [PATHS[n] for n in found]


@pytest.mark.parametrize(
    ("given", "facts", "fits"),
    [
        ({"dtype": "float32"}, ARRAY, True), ({"dtype": "<f4"}, ARRAY, True),
        ({"dtype": "f8"}, ARRAY, False), ({"dtype": "float"}, ARRAY, True),
        ({"dtype": "record"}, RECORDS, True), ({"dtype": "[('a', '>i4')]"}, RECORDS, True),
        ({"dtype": "float"}, STRING, False), ({"dtype": "f4"}, Facts("nonsense", ()), False),
        ({"ndim": "3"}, ARRAY, True), ({"ndim": "1"}, ARRAY, False), ({"ndim": "1"}, STRING, False),
        ({"shape": "100,20,3"}, ARRAY, True), ({"shape": " * , 20, *"}, ARRAY, True),
        ({"shape": "5,"}, RECORDS, True), ({"shape": "100,20"}, ARRAY, False),
        ({"shape": "100,20,4"}, ARRAY, False), ({"shape": "77"}, STRING, False),
        ({"attr": "unit"}, STRING, True), ({"attr": "unit=mm"}, ARRAY, True),
        ({"attr": "unit=MM"}, ARRAY, False), ({"attr": "other"}, ARRAY, False),
        ({"attr": "n=7"}, ARRAY, True), ({"attr": "n=8"}, ARRAY, False),
        ({"attr": "n="}, ARRAY, False), ({"attr": "no=7"}, ARRAY, False),
        ({"attr": "unit", "ndim": "3"}, ARRAY, True), ({"attr": "unit", "ndim": "2"}, ARRAY, False),
        ({"attr": "unit"}, INDESCRIBABLE, False), ({}, ARRAY, True),
    ],
)  # fmt: skip
def test_filters_of_descriptions(given: dict[str, str], facts: Facts, fits: bool) -> None:
    chosen = parse(**given).filter()
    assert chosen(facts) == chosen(facts) == fits


@pytest.mark.parametrize(
    "given",
    [
        {"q": "x" * (LENGTH + 1)}, {"q": " ".join(map(str, range(WORDS + 1)))},
        {"dtype": "object"}, {"dtype": "float99"}, {"dtype": "[('a'"}, {"ndim": "-1"}, {"ndim": ""},
        {"ndim": "17"}, {"ndim": "x"}, {"shape": "1,,2"}, {"shape": "a"}, {"shape": "1," * 17},
        {"shape": "9" * 30}, {"shape": "\u0665"},
    ],
)  # fmt: skip
def test_what_is_no_query(given: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        parse(**given)


def test_without_filters_all_descriptions_fit() -> None:
    assert not parse("word").needs_facts
    assert parse(attr="x").needs_facts
    assert parse(ndim="2").needs_facts
    assert Query().filter()(ARRAY)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("mm", "mm"), (b"mm\xff", "mm\\xff"), (7, "7"), (7.5, "7.5"), (True, "true"),
        (np.float32(0.5), "0.5"), (np.array([3]), "3"), (np.array(["a"]), "a"),
        (np.array([1, 2]), "[1,2]"), (np.bytes_(b"x"), "x"), ({"a": 1}, '{"a":1}'),
        ("x" * 999, "x" * TEXT), ([1, b"x"], None),
    ],
)  # fmt: skip
def test_attributes_as_text(value: Any, text: str | None) -> None:
    found = attribute_text(form_of(value))
    assert len(found) <= TEXT
    assert text is None or found == text


def test_facts_of_a_description() -> None:
    content = samples.array_frame(np.zeros((3, 4), "f4"), vlmeta={"unit": "mm"})
    facts = Facts.of(samples.describe(content, "a.b2nd"))
    assert facts == Facts("<f4", (3, 4), ("unit",), ("mm",))
    assert (facts.text("unit"), facts.text("other")) == ("mm", None)


def test_facts_are_kept_within_a_bound() -> None:
    known = KnownFacts(3 * ARRAY.nbytes)
    for path in PATHS:
        known.put(path, ARRAY)
    known.put(PATHS[0], Facts(">f4", (100, 20, 3), ARRAY.names, ARRAY.texts))
    first, second = known.get(PATHS[0]), known.get(PATHS[1])
    assert first is not None and second is not None
    assert first.shape is second.shape
    assert known.size == 3 * ARRAY.nbytes
    known.put(DatasetPath("new"), STRING)
    assert [known.get(path) for path in PATHS] == [ARRAY, None, ARRAY]
    known.forget(PATHS)
    assert known.size == STRING.nbytes
