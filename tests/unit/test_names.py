"""Names of roots and paths of datasets: what is one, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2 import names
from caterva2.errors import BadName
from caterva2.limits import constants
from caterva2.names import DatasetPath, RootName
from tests.thoroughness import CHARACTERS, examples


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
    shown = "x" * 77 + "..."
    assert caught.value.detail == f"{shown!r} is too long or too deep for a path"
    for size, kept in ((80, "-" + "x" * 79), (81, "-" + "x" * 76 + "...")):
        with pytest.raises(BadName) as caught:
            RootName("-" + "x" * (size - 1))
        assert caught.value.detail.startswith(f"{kept!r} is not a root name: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a\nb", r"'a\nb' holds a control character or a backslash"),
        ("a\ud800", r"'a\ud800' is not valid Unicode"),
        ("a/../b", "'a/../b' is not a path: it has the component '..'"),
        ("a//b", "'a//b' is not a path: it has the component ''"),
    ],
)
def test_a_refusal_says_why(text: str, why: str) -> None:
    with pytest.raises(BadName) as caught:
        DatasetPath(text)
    assert caught.value.detail == why


def test_the_deepest_path_is_a_path() -> None:
    assert DatasetPath("/".join("a" * constants.PATH_DEPTH)).parts == ["a"] * constants.PATH_DEPTH


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("foo", ("foo", "")),
        ("foo/", ("foo", "")),
        ("foo/a/b/", ("foo", "a/b")),
        ("foo/X", ("foo", "X")),
    ],
)
def test_split_full(text: str, parts: tuple[str, str]) -> None:
    assert names.split_full(text) == parts


def test_parse_full() -> None:
    assert names.parse_full("foo/a/b.b2nd") == ("foo", "a/b.b2nd")


@pytest.mark.parametrize("text", ["foo", "foo/", "/a", "foo/../a", "fo o/a", "foo/a/"])
def test_parse_full_refuses(text: str) -> None:
    with pytest.raises(BadName):
        names.parse_full(text)


def test_a_full_name_has_a_slash_where_there_is_something_below() -> None:
    root = RootName("foo")
    assert names.full_name(root, "a/b") == "foo/a/b"
    assert names.full_name(root, "") == "foo"


@pytest.mark.parametrize(
    ("text", "below", "is_directory"),
    [("@public", "", False), ("@public/", "", True), ("@public/a/b", "a/b", False),
     ("@public/a/b/", "a/b", True)],
)  # fmt: skip
def test_a_place_is_what_was_written(text: str, below: str, is_directory: bool) -> None:
    place = names.Place.parse(text)
    assert place == names.Place(RootName("@public"), below, is_directory)
    assert str(place) == text.rstrip("/")
    if below:
        assert place.path == DatasetPath(below)
    else:
        with pytest.raises(BadName, match="@public is a root: name a file in it"):
            _ = place.path


@pytest.mark.parametrize("text", ["@public/../x", "@public//x", "../x", ""])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        names.Place.parse(text)


def test_a_page_has_the_next_paths_under_a_directory() -> None:
    paths = [DatasetPath(p) for p in ("d/z", "d/a", "dd/x", "d", "a", "d/b")]
    assert names.page(paths, "", "", 3) == ["a", "d", "d/a"]
    assert names.page(paths, "", "d/a", 9) == ["d/b", "d/z", "dd/x"]
    assert names.page(paths, "d", "", 9) == ["d/a", "d/b", "d/z"]
    assert names.page(paths, "d", "d/a", 1) == ["d/b"]
    assert names.page(paths, "d", "d/z", 9) == []


def test_below_a_directory() -> None:
    paths = [DatasetPath(p) for p in ("a", "d/x", "d/e/y", "dd/z")]
    assert names.below(paths, "d") == ["x", "e/y"]
    assert names.below(paths, "") == paths
    assert names.below(paths, "d/x") == ["x"]
    assert names.below(paths, "nothing") == []


CONTAINERS = [DatasetPath(path) for path in ("a.nc", "a.nc-b", "a.nc/g/x", "a.nc/y", "d/z", "z")]


def test_below_a_container_is_what_it_holds_and_not_itself() -> None:
    assert names.below(CONTAINERS, "a.nc") == ["g/x", "y"]
    assert names.below(CONTAINERS, "a.nc/g") == ["x"]
    assert names.below(CONTAINERS, "z") == ["z"]


def test_pages_below_a_container_hold_each_of_its_paths_once() -> None:
    assert names.page(CONTAINERS, "a.nc", "", 1) == ["a.nc/g/x"]
    assert names.page(CONTAINERS, "a.nc", "a.nc/g/x", 1) == ["a.nc/y"]
    assert names.page(CONTAINERS, "a.nc", "a.nc/y", 1) == []
    assert names.page(CONTAINERS, "z", "", 5) == ["z"]
    assert names.page(CONTAINERS, "", "a.nc", 2) == ["a.nc-b", "a.nc/g/x"]


def test_containers_are_paths_that_hold_others() -> None:
    assert names.containers(CONTAINERS) == {"a.nc"}
    assert names.containers(["a", "a/b", "a/b/c/d", "e/f"]) == {"a", "a/b"}
    assert names.containers([]) == set()


def test_outermost_paths_are_not_in_a_container() -> None:
    assert names.outermost(CONTAINERS) == ["a.nc", "a.nc-b", "d/z", "z"]
    assert names.outermost(["g/x", "y"]) == ["g/x", "y"]


@settings(max_examples=examples(300))
@given(st.text(st.sampled_from("a./\\\0 é\n@\ud800"), max_size=12))
def test_a_path_is_refused_or_stays_below_where_it_begins(text: str) -> None:
    try:
        path = DatasetPath(text)
    except BadName:
        return
    assert not path.startswith("/")
    assert all(part not in ("", ".", "..") for part in path.split("/"))


@given(st.lists(st.text(CHARACTERS, max_size=4), max_size=60))
def test_order_of_many_paths_is_that_of_a_sort(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names, "SORTED_AT_ONCE", 7)
        assert names.in_order(texts) == sorted(texts)
