"""Search over HTTP: by names at once, by descriptions as far as they are known."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

from tests.conftest import Stack, eventually, example_root
from tests.web.asking import ask

DESCRIBED = 40
"""Datasets that one search describes."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A root with 100 small arrays of three dtypes beside the example root."""
    source = tmp_path_factory.mktemp("lab")
    for n in range(100):
        folder = source / f"Run{n % 4}"
        folder.mkdir(exist_ok=True)
        values = np.zeros((n % 3 + 1, 5), ("i4", ">f4", "f8")[n % 3])
        meta: dict[str, Any] = {"sample": f"Ti-{n % 2}", "energy": 7.5 + n % 2}
        opened = blosc2.asarray(values, urlpath=str(folder / f"scan{n:03}.b2nd"))
        for name, value in meta.items():
            opened.schunk.vlmeta[name] = value
    (source / "notes of run.txt").write_text("x")
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.configure(f"[limits.web]\nsearch_described = {DESCRIBED}\nsearch_time = 30.0\n")
    try:
        made.start(foo=example_root(), lab=Path(source))
        yield made
    finally:
        made.stop_all()


def search(stack: Stack, place: str = "", **given: object) -> Any:
    answer = ask(stack, f"api/search/{place}?{urllib.parse.urlencode(given)}")
    assert answer.status == 200, answer.body
    return answer.json


def all_known(stack: Stack, place: str = "", **given: object) -> Any:
    """Search until everything is known; each answer says how much is not."""
    unknown = [2**30]

    def known() -> bool:
        found = search(stack, place, **given)
        unknown.append(found["unknown"])
        assert found["describing"] == (found["unknown"] > 0)
        return unknown[-1] == 0

    eventually(known)
    assert unknown == sorted(unknown, reverse=True)
    return search(stack, place, **given)


def test_words_are_found_in_any_case_and_order(served: Stack) -> None:
    found = search(served, "lab", q="SCAN00 run1")
    assert list(found["found"]) == [f"lab/Run1/scan{n:03}.b2nd" for n in (1, 5, 9)]
    assert found == {
        "found": found["found"], "total": 3, "unknown": 0, "describing": False, "skipped": [],
        "more": False, "after": None,
    }  # fmt: skip
    info = ask(served, "api/info/lab/Run1/scan001.b2nd").json
    del info["cached"]
    assert found["found"]["lab/Run1/scan001.b2nd"] == info
    assert list(search(served, "lab", q="run.txt")["found"]) == ["lab/notes of run.txt"]
    assert search(served, "lab", q="nothing")["total"] == 0


def test_a_search_is_within_a_directory_or_everywhere(served: Stack) -> None:
    assert search(served, "lab/Run2", q="scan")["total"] == 25
    everywhere = search(served, q="d")
    roots = [path.partition("/")[0] for path in everywhere["found"]]
    assert {"foo", "lab"} <= set(roots)
    assert roots == sorted(roots)
    assert everywhere["total"] == search(served, "foo", q="d")["total"] + 100


def test_roots_that_are_not_followed_are_named(stack: Stack, tmp_path: Path) -> None:
    stack.start_services(foo=example_root(), bar=example_root())
    eventually(lambda: {"foo", "bar"} <= ask(stack, "api/roots").json.keys())
    stack.subscribe("foo")
    found = search(stack, q="ds-1d.b2nd")
    assert (list(found["found"]), found["total"]) == (["foo/ds-1d.b2nd"], 1)
    assert found["skipped"] == ["bar"]


def test_pages_go_through_all_roots(served: Stack) -> None:
    whole = search(served, q="b2nd", limit=1000)
    found, after = list[str](), ""
    while after is not None:
        page = search(served, q="b2nd", limit=30, after=after)
        assert (page["total"], page["more"]) == (whole["total"], page["after"] is not None)
        found += page["found"]
        after = page["after"]
    assert found == list(whole["found"])


@pytest.mark.parametrize(
    ("given", "total"),
    [
        ({"dtype": "float32"}, 33),
        ({"dtype": "<f4"}, 33),
        ({"dtype": "float"}, 66),
        ({"dtype": "int", "shape": "1,5"}, 34),
        ({"ndim": 2}, 100),
        ({"shape": "3,*"}, 33),
        ({"attr": "sample"}, 100),
        ({"attr": "sample=Ti-1"}, 50),
        ({"attr": "energy=7.50", "q": "run0"}, 25),
        ({"attr": "sample=Ti"}, 0),
        ({"dtype": "record"}, 0),
    ],
    ids=str,
)
def test_descriptions_are_filtered(served: Stack, given: dict[str, Any], total: int) -> None:
    found = all_known(served, "lab", **given, limit=1000)
    assert (found["total"], len(found["found"])) == (total, total)


def test_what_is_not_described_yet_is_said(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "few"
    source.mkdir()
    for n in range(3):
        blosc2.asarray(np.zeros(3, "f4"), urlpath=str(source / f"a{n}.b2nd"))
    (source / "broken.b2nd").write_bytes(b"not a frame")
    stack.configure("[limits.web]\nsearch_described = 2\n")
    stack.start(few=source)
    first = search(stack, "few", dtype="float32")
    assert (len(first["found"]), first["total"], first["unknown"]) == (2, None, 2)
    second = search(stack, "few", dtype="float32")
    assert (len(second["found"]), second["total"], second["unknown"]) == (3, 3, 0)
    blosc2.asarray(np.zeros(3, "f8"), urlpath=str(tmp_path / "new.b2nd"))
    (tmp_path / "new.b2nd").rename(source / "a1.b2nd")
    eventually(lambda: list(search(stack, "few", dtype="f8")["found"]) == ["few/a1.b2nd"])
    stack.stop("pub-few")
    assert search(stack, "few", dtype="f8")["total"] == 1
    assert search(stack, "few", q="a")["found"]["few/a0.b2nd"]["dtype"] == "float32"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("nope?q=x", 404),
        ("lab/nope?q=x", 404),
        ("lab?dtype=object", 400),
        ("lab?ndim=99", 400),
        ("lab?shape=1,x", 400),
        (f"lab?q={'+'.join('abcdefghijklmnopq')}", 400),
        (f"lab?q={'a' * 1025}", 400),
        ("lab?after=lab", 400),
        ("lab?limit=1001", 400),
        ("lab?q=a&q=b", 400),
        ("lab?what=a", 400),
    ],
)
def test_what_is_refused(served: Stack, target: str, status: int) -> None:
    assert ask(served, f"api/search/{target}").status == status
