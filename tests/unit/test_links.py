"""Links in a published directory: listed, followed, and told when they are left out."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.limits import DEFAULTS
from caterva2.sources.directory import inotify
from caterva2.sources.directory.links import resolve
from caterva2.sources.directory.source import DirectorySource
from tests.conftest import eventually
from tests.thoroughness import examples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with two runs and links to them."""
    for n, name in enumerate(("run1.b2nd", "run2.b2nd", "d1/a.b2nd", "d2/a.b2nd")):
        put(tmp_path / "root" / name, n)
    links = {
        "latest.b2nd": "run1.b2nd", "current": "d1", "deep.b2nd": "current/a.b2nd",
        "absolute": str(tmp_path / "root" / "d2"), "d1/back.b2nd": "../run1.b2nd",
    }  # fmt: skip
    for link, target in links.items():
        os.symlink(target, tmp_path / "root" / link)
    return tmp_path / "root"


LISTED = {
    "run1.b2nd", "run2.b2nd", "d1/a.b2nd", "d1/back.b2nd", "d2/a.b2nd", "latest.b2nd",
    "current/a.b2nd", "current/back.b2nd", "deep.b2nd", "absolute/a.b2nd",
}  # fmt: skip


def put(path: Path, value: int) -> None:
    """Write an array beside its place, then move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(".new")
    new.write_bytes(samples.array_frame(np.arange(5) + value))
    os.replace(new, path)


def point(link: Path, target: str) -> None:
    """Make a link lead elsewhere, in one step."""
    os.symlink(target, link.with_name(".new"))
    os.replace(link.with_name(".new"), link)


def rewrite(path: Path) -> None:
    path.write_bytes(samples.array_frame(np.arange(7)))


def test_files_are_listed_and_read_through_links(root: Path) -> None:
    source = DirectorySource(root)
    assert set(source.scan()) == LISTED
    for path in source.scan():
        assert source.info(path).shape == (5,)


def test_a_scan_of_a_link_to_a_directory_finds_what_is_below_it(root: Path) -> None:
    source = DirectorySource(root)
    assert set(source.scan("current")) == {"current/a.b2nd", "current/back.b2nd"}
    assert set(source.scan("current/a.b2nd")) == {"current/a.b2nd"}


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda root: put(root / "run1.b2nd", 9), {"latest.b2nd", "run1.b2nd", "d1/back.b2nd"}),
        (lambda root: put(root / "run1.b2nd", 9), {"current/back.b2nd"}),
        (lambda root: rewrite(root / "run1.b2nd"), {"latest.b2nd", "run1.b2nd"}),
        (lambda root: point(root / "latest.b2nd", "run2.b2nd"), {"latest.b2nd"}),
        (lambda root: put(root / "d1/a.b2nd", 9), {"current/a.b2nd", "deep.b2nd", "d1/a.b2nd"}),
        (lambda root: point(root / "current", "d2"), {"current/a.b2nd", "deep.b2nd"}),
        (lambda root: put(root / "d2/a.b2nd", 9), {"absolute/a.b2nd", "d2/a.b2nd"}),
        (lambda root: os.rename(root / "d2", root / "d3"), {"absolute/a.b2nd", "d3/a.b2nd"}),
        (lambda root: (root / "d1/a.b2nd").unlink(), {"current/a.b2nd", "deep.b2nd"}),
        (lambda root: put(root / "d1/new/x.b2nd", 1), {"current/new/x.b2nd", "d1/new/x.b2nd"}),
    ],
)
def test_what_links_show_is_hinted_at_with_their_targets(
    root: Path, change: Callable[[Path], None], shown: set[str]
) -> None:
    source = DirectorySource(root)
    before, found = source.scan(), dict(source.scan())
    with watched(source) as hints:
        change(root)

        def is_seen() -> bool:
            for scope in hints.copy():
                for path in [p for p in found if p == scope or p.startswith(f"{scope}/")]:
                    del found[path]
                found.update(source.scan(scope))
            return {p for p in before.keys() | found if before.get(p) != found.get(p)} >= shown

        eventually(is_seen, 10)


class watched:  # noqa: N801 - a context manager
    """Gathers the hints of a source, from when it watches on."""

    def __init__(self, source: DirectorySource) -> None:
        self.source, self.hints, self.stop = source, set[str](), threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for scopes in self.source.changes(self.stop):
            self.hints |= scopes

    def __enter__(self) -> set[str]:
        self.thread.start()
        probe = Path(self.source._root) / "probe"

        def is_watching() -> bool:
            probe.write_text("x")
            return "probe" in self.hints

        eventually(is_watching, 10)
        return self.hints

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(10)


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("x", lambda path: os.symlink("nothing", path), "a link to nothing"),
        ("x", lambda path: os.symlink("x", path), "a loop of links"),
        ("x", lambda path: os.symlink("/etc/passwd", path), "leads out of the root"),
        ("x", lambda path: os.symlink("../..", path), "leads out of the root"),
        ("d1/x", lambda path: os.symlink(".", path), "a directory that holds it"),
        ("d1/x", lambda path: os.symlink("../d1/../d1", path), "a directory that holds it"),
        ("x", os.mkfifo, "neither a regular file nor a directory"),
    ],
)
def test_all_that_is_left_out_is_logged_once_with_its_reason(
    root: Path,
    name: str,
    make: Callable[[Path], None],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make(root / name)
    source = DirectorySource(root)
    for _ in range(3):
        assert set(source.scan()) == LISTED
    told = [r.message for r in caplog.records if r.message.startswith(f"{name} is left out")]
    assert len(told) == 1
    assert reason in told[0]


def test_two_links_to_each_others_directory_end(root: Path) -> None:
    os.symlink("../d2", root / "d1/x")
    os.symlink("../d1", root / "d2/y")
    listed = set(DirectorySource(root).scan())
    assert {"d1/x/a.b2nd", "d2/y/a.b2nd"} <= listed
    assert not any("/y/x" in path or "/x/y" in path for path in listed)


def test_links_to_links_do_not_multiply_a_listing_without_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(20):
        (tmp_path / f"d{n}").mkdir()
        for name in "ab":
            os.symlink(f"../d{n + 1}", tmp_path / f"d{n}" / name)
    (tmp_path / "d20").mkdir()
    (tmp_path / "d20" / "f").write_text("x")
    few = replace(DEFAULTS.publisher, linked_directories=200)
    DirectorySource(tmp_path, limits=few).scan()
    assert "LINKED_DIRECTORIES is 200" in caplog.text


def test_a_name_that_is_no_utf8_is_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / os.fsdecode(b"\xe9\xe8.txt")).write_text("x")
    assert set(DirectorySource(root).scan()) == LISTED
    assert "is not valid Unicode" in caplog.text


@settings(max_examples=examples(100))
@given(data=st.data())
def test_links_lead_where_the_system_says(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("links")
    names = ["a", "b", "d", "d/e", "d/f", "g"]
    for name in names:
        kind = data.draw(st.sampled_from(["file", "directory", "link"]), name)
        target = data.draw(st.sampled_from(["a", "d", "../d", "../..", "e", "d/e", ".", "../a"]))
        path = root / name
        if not path.parent.is_dir() or path.is_symlink() or path.exists():
            continue
        if kind == "link":
            os.symlink(target, path)
        elif kind == "directory":
            path.mkdir(exist_ok=True)
        else:
            path.write_text("x")
    for name in [*names, "d/e/f", "g/a", "g/d/e"]:
        resolved = resolve(str(root), name)
        real = os.path.realpath(root / name)
        if not resolved.problem:
            assert os.path.join(root, resolved.real).rstrip("/") == real
        else:
            inside = real == str(root) or real.startswith(f"{root}/")
            assert not inside or not os.path.exists(root / name)


# --- watching what can't all be watched ---


@pytest.fixture
def partly_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recursive watches are refused, as by the system for a directory that can't be read."""
    real = inotify.watch

    def refusing(
        places: list[str], stop: threading.Event, *, recursive: bool = True
    ) -> Iterator[set[str]]:
        if recursive:
            raise PermissionError(13, "Permission denied", "lost+found")
        return real(places, stop, recursive=False)

    monkeypatch.setattr(inotify, "watch", refusing)


@pytest.mark.usefixtures("partly_readable")
def test_directories_beside_one_that_cannot_be_read_are_watched(root: Path) -> None:
    with watched(DirectorySource(root)) as hints:
        put(root / "d2/a.b2nd", 8)
        eventually(lambda: "d2/a.b2nd" in hints, 10)
        put(root / "d5/d6/new.b2nd", 1)
        eventually(lambda: "" in hints, 10)  # all is scanned, and the new ones are watched

        def is_watched() -> bool:
            put(root / "d5/d6/new.b2nd", 2)
            return "d5/d6/new.b2nd" in hints

        eventually(is_watched, 10)


def test_a_directory_that_is_not_to_be_watched_is_scanned(root: Path) -> None:
    from dataclasses import replace

    stop = threading.Event()
    source = DirectorySource(root, watch=False, limits=replace(DEFAULTS.publisher, poll=0.01))
    for n, scopes in enumerate(source.changes(stop)):
        assert scopes == {""}
        if n == 2:
            stop.set()
    assert n == 2


def test_a_directory_is_watched_when_a_link_to_it_goes(root: Path) -> None:
    source = DirectorySource(root)
    source.scan()
    with watched(source) as hints:
        point(root / "current", "d2")
        eventually(lambda: "current" in hints, 10)
        hints.clear()
        put(root / "d1/a.b2nd", 8)
        eventually(lambda: "d1/a.b2nd" in hints, 10)


def test_a_link_that_is_made_later_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "d/a.b2nd", 1)
    source = DirectorySource(tmp_path)
    source.scan()
    with watched(source) as hints:
        os.symlink("d", tmp_path / "link")
        eventually(lambda: "link" in hints, 10)
        assert "link/a.b2nd" in source.scan("link")

        def is_followed() -> bool:
            put(tmp_path / "d/a.b2nd", 2)
            return {"d/a.b2nd", "link/a.b2nd"} <= hints

        eventually(is_followed, 10)


def test_a_change_between_the_scan_and_the_watch_is_seen_soon(root: Path) -> None:
    source, stop = DirectorySource(root), threading.Event()
    source.scan()
    put(root / "run1.b2nd", 9)  # before anything is watched
    hints = source.changes(stop)
    assert next(hints) == {""}
    stop.set()
    for _ in hints:
        pass
