"""The index of a catalog: levels as they are counted one by one, and kept in step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.browsing.followed import MANY, FollowedIndex
from caterva2.browsing.index import Branch, Index, Level
from caterva2.model import Entry
from caterva2.names import GROUP, DatasetPath, outermost
from tests.thoroughness import examples

NAMES = st.sampled_from(["a", "a-b", "a.h5", "b", "0", "\u00e9", "a0"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
CATALOGS = st.dictionaries(PATHS, st.integers(0, 9), max_size=25)
GROUPS = st.sets(PATHS, max_size=4)


def entry(path: str, size: int = 1) -> Entry:
    return Entry(DatasetPath(path), "group" if path.endswith(GROUP) else "array", "e", size, 1.0)


def entries(sizes: dict[str, int], groups: Iterable[str] = ()) -> list[Entry]:
    return [*(entry(*one) for one in sizes.items()), *(entry(f"{g}/{GROUP}", 0) for g in groups)]


def expected(sizes: dict[str, int], groups: Iterable[str], directory: str) -> Level | None:
    """Return the whole level, counted one by one."""
    prefix = f"{directory}/" if directory else ""
    inside = [path for path in sizes if path.startswith(prefix)]
    outer = set(outermost(list(sizes)))
    branches: dict[str, Branch] = {}
    everything = [*inside, *(one for group in groups if (one := f"{group}/").startswith(prefix))]
    relative = [path[len(prefix) :] for path in everything]
    for top in {path.partition("/")[0] for path in relative if "/" in path}:
        below = [path for path in inside if path.startswith(f"{prefix}{top}/")]
        whole = sum(sizes[path] for path in below if path in outer)
        size = whole or sum(sizes[path] for path in below)
        size = sizes.get(f"{prefix}{top}", size)
        branches[top] = Branch(top, len(below), size)
    paths = sorted(p for p in inside if "/" not in p[len(prefix) :])
    if not branches and not paths and directory:
        if directory not in sizes:
            return Level([], [], 0, 0, None) if directory in groups else None
        paths = [directory]
    ordered = [branches[name] for name in sorted(branches)]
    return Level(ordered, list(map(DatasetPath, paths)), len(ordered), len(paths), None)


@settings(max_examples=examples(300))
@given(CATALOGS, GROUPS, PATHS | st.just(""))
def test_a_level_is_as_if_counted_one_by_one(
    sizes: dict[str, int], groups: set[str], directory: str
) -> None:
    assert Index.of(entries(sizes, groups)).level(directory, "", 99) == expected(
        sizes, groups, directory
    )


@settings(max_examples=examples(200))
@given(CATALOGS, st.integers(1, 4))
def test_pages_make_up_the_level(sizes: dict[str, int], count: int) -> None:
    index = Index.of(entries(sizes))
    whole, pages, after = index.level("", "", 99), list[Level](), ""
    assert whole is not None
    while True:
        page = index.level("", after, count)
        assert page is not None
        pages.append(page)
        assert len(page.branches) + len(page.paths) <= count
        if page.after is None:
            break
        after = page.after
    assert [one for page in pages for one in page.branches] == whole.branches
    assert [one for page in pages for one in page.paths] == whole.paths


@settings(max_examples=examples(200))
@given(CATALOGS, CATALOGS, GROUPS, GROUPS)
def test_a_changed_index_is_that_of_the_changed_catalog(
    before: dict[str, int], after: dict[str, int], old: set[str], new: set[str]
) -> None:
    known = {one.path: one for one in entries(before, old)}
    now = {one.path: one for one in entries(after, new)}
    changed = Index.of(list(known.values())).changed(
        {path: now.get(path) for path in known.keys() | now.keys()}
    )
    fresh = Index.of(list(now.values()))
    assert changed.paths == fresh.paths
    assert changed.datasets == fresh.datasets == len(after)
    assert changed.size == fresh.size == sum(after[path] for path in outermost(list(after)))
    for directory in ("", *{path.rpartition("/")[0] for path in now}):
        assert changed.level(directory, "", 99) == fresh.level(directory, "", 99)
        assert changed.below(directory) == fresh.below(directory)
        if directory:
            inside = [path for path in after if path.startswith(f"{directory}/")]
            assert changed.count(directory) == len(inside)


def test_paths_that_arrive_in_any_order_are_sorted() -> None:
    sizes = {f"d{n % 7}/x{n * 7919 % 5_000:05}": 1 for n in range(5_000)}
    assert Index.of(entries(sizes)).paths == sorted(sizes)


def test_an_index_follows_its_catalog() -> None:
    known = {one.path: one for one in entries({"a": 1, "d/b": 2})}
    follower = FollowedIndex()

    def put(path: str) -> None:
        known[DatasetPath(path)] = entry(path)
        follower.change([DatasetPath(path)])

    async def main() -> None:
        put("early")
        index = await follower.of(known, {})
        assert await follower.of(known, {}) is index
        put("d/c")
        assert (await follower.of(known, {})).paths == ["a", "d/b", "d/c", "early"]
        del known[DatasetPath("a")]
        follower.change([DatasetPath("a")])
        assert (await follower.of(known, {})).paths == ["d/b", "d/c", "early"]
        for n in range(MANY + 2):
            put(f"many/{n:04}")
        assert len((await follower.of(known, {})).paths) == MANY + 5
        making = asyncio.create_task(follower.of(known, {}))
        await asyncio.sleep(0)
        put("meanwhile")
        await making
        assert "meanwhile" in (await follower.of(known, {})).paths

    asyncio.run(main())


@pytest.mark.no_cover
@pytest.mark.slow
def test_a_page_of_a_large_level_takes_a_moment() -> None:
    sizes = {f"run{n // 900:03}/ds{n % 900:04}.b2nd": 9 for n in range(90_000)}
    sizes |= {f"flat/x{n:05}.b2nd": 9 for n in range(10_000)}
    index = Index.of(entries(sizes))
    for directory, branches, datasets in (("", 101, 0), ("flat", 0, 10_000), ("run007", 0, 900)):
        taken = time.thread_time()
        level = index.level(directory, "", 100)
        assert time.thread_time() - taken < 0.25  # 0.01 s on an idle machine
        assert level is not None
        assert (level.branch_count, level.dataset_count) == (branches, datasets)
