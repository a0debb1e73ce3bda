"""Fixtures that several test files of this directory share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accountworld import World
from rootkinds import CONTENTS, InDirectory, InHdf5, InIsolation, InMemory, Root

from caterva2.cache.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A subscriber's cache without anything in it."""
    return Store(tmp_path / "cache")


@pytest.fixture(params=[InDirectory, InMemory])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    """A source of each kind that has plain files too; it serves `CONTENTS`."""
    kind: Callable[[Path], Root] = request.param
    root = kind(tmp_path / "root")
    for path, content in CONTENTS.items():
        root.put(path, content)
    yield root
    root.source.close()


@pytest.fixture(params=[InDirectory, InMemory, InHdf5, InIsolation])
def arrays(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    """A source of each kind that serves the arrays of `CONTENTS`."""
    root: Root = request.param(tmp_path / "root")
    for path in ("a.b2nd", "d/e/b.b2nd"):
        root.put(path, CONTENTS[path])
    yield root
    root.source.close()


@pytest.fixture
def directory(tmp_path: Path) -> InDirectory:
    root = InDirectory(tmp_path / "root")
    for path, content in CONTENTS.items():
        root.put(path, content)
    return root


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Accounts in an empty directory."""
    return World(tmp_path)
