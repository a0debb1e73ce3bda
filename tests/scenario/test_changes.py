"""What changes in the publisher's directory reaches the readers by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

from tests.conftest import Stack, eventually


def put(source: Path, name: str, value: int, size: int = 1000) -> None:
    """Write an array beside its place, then move it there."""
    temporary = source / f".{name}.tmp"
    temporary.unlink(missing_ok=True)
    blosc2.asarray(np.full(size, value, "i4"), chunks=(100,), urlpath=str(temporary))
    target = source / name
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, target)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services of a root that each test fills anew."""
    made = Stack(tmp_path_factory.mktemp("stack"))
    (made.directory / "data").mkdir()
    try:
        made.start(data=made.directory / "data")
        yield made
    finally:
        made.stop_all()


@pytest.fixture
def source(stack: Stack) -> Path:
    """The root with one array, which is all that is served."""
    made = stack.directory / "data"
    for old in made.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    eventually(lambda: stack.client.get_list("data") == [])
    put(made, "a.b2nd", 1)
    eventually(lambda: stack.client.get_list("data") == ["a.b2nd"])
    return made


def test_overwritten_dataset_is_seen_with_its_new_content(stack: Stack, source: Path) -> None:
    client = stack.client
    assert (client.fetch("data/a.b2nd") == 1).all()
    put(source, "a.b2nd", 2)
    eventually(lambda: (client.fetch("data/a.b2nd") == 2).all())
    put(source, "a.b2nd", 3, size=77)
    eventually(lambda: client.fetch("data/a.b2nd").tolist() == [3] * 77)


def test_dataset_written_in_place_is_seen(stack: Stack, source: Path) -> None:
    client = stack.client
    assert (client.fetch("data/a.b2nd") == 1).all()
    array = blosc2.open(str(source / "a.b2nd"), mode="a")
    array[:] = np.full(1000, 5, "i4")
    eventually(lambda: (client.fetch("data/a.b2nd") == 5).all())


def test_added_datasets_appear_also_in_new_directories(stack: Stack, source: Path) -> None:
    put(source, "b.b2nd", 7)
    nested = source / "x" / "y"
    nested.mkdir(parents=True)
    (nested / "note.txt").write_text("hello")
    eventually(
        lambda: (
            stack.cli("list", "data").stdout.split()
            == ["data/a.b2nd", "data/b.b2nd", "data/x/y/note.txt"]
        )
    )
    assert stack.cli("show", "data/b.b2nd[:2]").stdout == "[7 7]\n"
    assert stack.cli("show", "data/x/y/note.txt").stdout == "hello\n"


def test_deleted_dataset_disappears(stack: Stack, source: Path) -> None:
    client = stack.client
    put(source, "b.b2nd", 7)
    eventually(lambda: client.get_list("data") == ["a.b2nd", "b.b2nd"])
    assert client.fetch("data/b.b2nd", 0) == 7
    (source / "b.b2nd").unlink()
    eventually(lambda: client.get_list("data") == ["a.b2nd"])
    gone = stack.cli("show", "data/b.b2nd")
    assert gone.returncode == 1
    assert gone.stderr.startswith("cat2cli: 404 Not Found: data/b.b2nd does not exist; ")


def test_renamed_directory_moves_its_datasets(stack: Stack, source: Path) -> None:
    put(source, "b.b2nd", 7)
    (source / "old").mkdir()
    os.replace(source / "b.b2nd", source / "old" / "b.b2nd")
    client = stack.client
    eventually(lambda: client.get_list("data") == ["a.b2nd", "old/b.b2nd"])
    os.rename(source / "old", source / "new")
    eventually(lambda: client.get_list("data") == ["a.b2nd", "new/b.b2nd"])
    assert client.fetch("data/new/b.b2nd", 3) == 7


def test_old_versions_leave_the_cache(stack: Stack, source: Path) -> None:
    client = stack.client
    client.fetch("data/a.b2nd")
    put(source, "a.b2nd", 2)
    eventually(lambda: (client.fetch("data/a.b2nd") == 2).all())
    cache = stack.directory / "sub" / "cache"
    eventually(lambda: len(list(cache.rglob("*.index"))) == 1)
