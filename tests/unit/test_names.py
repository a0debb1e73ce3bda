"""Names of roots and paths of datasets: what is one, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2 import names
from caterva2.errors import BadName
from caterva2.limits import constants
from caterva2.names import DatasetPath, RootName
from tests.thoroughness import examples


@pytest.mark.parametrize("text", ["foo", "a", "_x", "A.b+c-d_9", "@public", "x" * 64])
def test_root_names(text: str) -> None:
    assert RootName(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "@", ".", "..", ".x", "a..b", "-x", "a/b", "a b", "a\n", "é", "a\0", "x" * 65, "@@x"],
)
def test_no_root_names(text: str) -> None:
    with pytest.raises(BadName):
        RootName(text)


def test_special_roots_are_marked() -> None:
    assert all(name.is_special for name in (names.PUBLIC, names.SHARED, names.PERSONAL))
    assert not RootName("public").is_special


@pytest.mark.parametrize("text", ["a", "dir/x.b2nd", "a b/ü.txt", "...", "a/..b", "x" * 1024])
def test_dataset_paths(text: str) -> None:
    assert DatasetPath(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/./b",
        "a/../b",
        "a\\b",
        "a\0b",
        "a\nb",
        "a\x7fb",
        "a\ud800",
        "x" * 1025,
        "ü" * 513,
        "/".join("a" * (constants.PATH_DEPTH + 1)),
    ],
)
def test_no_dataset_paths(text: str) -> None:
    with pytest.raises(BadName):
        DatasetPath(text)


@pytest.mark.parametrize("text", ["a\x85b", "a\x9b31mb"])
def test_c1_control_characters_are_control_characters(text: str) -> None:
    with pytest.raises(BadName):
        DatasetPath(text)


def test_the_parts_of_a_path() -> None:
    path = DatasetPath("dir/sub/x.b2nd")
    assert (path.parts, path.basename) == (["dir", "sub", "x.b2nd"], "x.b2nd")


def test_a_refusal_shows_a_long_name_shortened() -> None:
    with pytest.raises(BadName) as caught:
        DatasetPath("x" * 100_000)
    assert len(caught.value.detail) < 200


@pytest.mark.parametrize(
    ("text", "parts"),
    [("foo", ("foo", "")), ("foo/", ("foo", "")), ("foo/a/b/", ("foo", "a/b"))],
)
def test_split_full(text: str, parts: tuple[str, str]) -> None:
    assert names.split_full(text) == parts


def test_parse_full() -> None:
    assert names.parse_full("foo/a/b.b2nd") == ("foo", "a/b.b2nd")


@pytest.mark.parametrize("text", ["foo", "foo/", "/a", "foo/../a", "fo o/a", "foo/a/"])
def test_parse_full_refuses(text: str) -> None:
    with pytest.raises(BadName):
        names.parse_full(text)


def test_below_a_directory() -> None:
    paths = [DatasetPath(p) for p in ("a", "d/x", "d/e/y", "dd/z")]
    assert names.below(paths, "d") == ["x", "e/y"]
    assert names.below(paths, "") == paths
    assert names.below(paths, "d/x") == ["x"]
    assert names.below(paths, "nothing") == []


@settings(max_examples=examples(300))
@given(st.text(st.sampled_from("a./\\\0 é\n@\ud800"), max_size=12))
def test_a_path_is_refused_or_stays_below_where_it_begins(text: str) -> None:
    try:
        path = DatasetPath(text)
    except BadName:
        return
    assert not path.startswith("/")
    assert all(part not in ("", ".", "..") for part in path.split("/"))


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=4), max_size=60))
def test_order_of_many_paths_is_that_of_a_sort(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names, "SORTED_AT_ONCE", 7)
        assert names.in_order(texts) == sorted(texts)
