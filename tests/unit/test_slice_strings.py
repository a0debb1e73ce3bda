"""Slice strings and other spellings of a selection: what they mean, and what is refused."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from caterva2.arrays.selection import as_key, box, parse, parse_key, to_string
from caterva2.errors import BadSelection
from caterva2.limits import constants


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (None, ()),
        ("", ()),
        ("  ", ()),
        ("5", (5,)),
        ("-1", (-1,)),
        ("+1", (1,)),
        ("5,", (5,)),
        (":", (slice(None),)),
        ("1, :5, ::2", (1, slice(None, 5), slice(None, None, 2))),
        ("::-1", (slice(None, None, -1),)),
        ("...", (Ellipsis,)),
        ("1, ... ,2", (1, Ellipsis, 2)),
        (" 1 : 2 : 3 ", (slice(1, 2, 3),)),
    ],
)
def test_parse_key(text: str | None, key: tuple[Any, ...]) -> None:
    assert parse_key(text) == key


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "1 2",
        "1,,2",
        ",",
        ",1",
        "1:2:3:4",
        "1.5",
        "0x1",
        "1_0",
        "None",
        "[1]",
        "(1)",
        "- 1",
        "1e3",
        "٣",
        "9" * 20,
        "9" * 5000,
        "\x1f5",
        "\x1f",
        "\x1c5:",
        "5\x85",
        "\x1f...",
        "1:\xa0",
        "..",
        "1" + ",1" * constants.SELECTION_LENGTH,
        "\0",
    ],
)
def test_malformed_slices_are_refused(text: str) -> None:
    with pytest.raises(BadSelection):
        parse(text, (10, 10))


HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1, x y, 2", "'1, x y, 2' is not a slice: ' x y' can't be read"),
        ("1:2:3:4", "'1:2:3:4' is not a slice: '1:2:3:4' can't be read"),
        ("1,,2", "'1,,2' is not a slice: '' can't be read"),
        ("x" * 200, f"{'x' * 80!r} is not a slice: {'x' * 40!r} can't be read"),
        ("1" * (constants.SELECTION_LENGTH + 1), "slice of 8193 characters is too long"),
    ],
)
def test_a_refusal_shows_what_can_not_be_read(text: str, why: str) -> None:
    with pytest.raises(BadSelection) as refused:
        parse_key(text)
    assert str(refused.value) == why


def test_the_longest_slice_is_read() -> None:
    assert parse_key("1".rjust(constants.SELECTION_LENGTH)) == (1,)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (slice("a", None), "slice('a', None, None) is not a slice of integers: "),
        (True, "bool is not an index"),
        ("a", "str is not an index"),
    ],
)
def test_what_a_slice_string_cannot_say_is_named(key: Any, why: str) -> None:
    with pytest.raises(BadSelection) as refused:
        to_string((1, key))
    assert str(refused.value).startswith(why)


def test_no_key_is_an_empty_slice_string() -> None:
    assert to_string(None) == ""
    assert to_string((slice(None), slice(1, 2), slice(0, 9, 2), ..., 5)) == ":, 1:2, 0:9:2, ..., 5"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (":999999999999999999999", ":"),
        (f":{HUGE}", ":"),
        (f"-{HUGE}:", ":"),
        (f"{HUGE}:", "9:9"),
        (f"::{HUGE}", ":1"),
        (f"3::{HUGE}", "3:4"),
        (f"::-{HUGE}", "-1:"),
        (f"{HUGE}:-99999999999999999999:-1", "::-1"),
        ("0000000000000000000000007", "7"),
        (":-0000000000000000000000007", ":-7"),
    ],
)
def test_bounds_of_any_length_are_clipped_as_in_python(text: str, same: str) -> None:
    values = np.arange(10)
    cut, small = (box(parse(one, (10,)), (4,)) for one in (text, same))
    assert cut.chunk_ids.tolist() == small.chunk_ids.tolist()
    if len(small.chunk_ids):
        assert values[parse_key(same)].tolist() == values[as_key(parse(text, (10,)))].tolist()


def test_long_blanks_are_read_at_once() -> None:
    began = time.process_time()
    with pytest.raises(BadSelection):
        parse_key(" " * 8000 + "x")
    assert time.process_time() - began < 0.05


@pytest.mark.parametrize("key", [True, np.True_, 1.5, "1", [1], (None, 1), slice(1.5, None)])
def test_what_a_slice_string_cannot_say_is_refused(key: Any) -> None:
    with pytest.raises(BadSelection):
        to_string(key)
