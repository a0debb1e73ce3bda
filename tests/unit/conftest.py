"""Fixtures that several test files of this directory share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import samples
from accountworld import World
from replicas import INFO, RAW, ROOT
from rootkinds import CONTENTS, InDirectory, InHdf5, InIsolation, InMemory, Root

from caterva2.cache.replica import Replica
from caterva2.cache.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A subscriber's cache without anything in it."""
    return Store(tmp_path / "cache")


PLAIN, ARRAYS = [InDirectory, InMemory], [InDirectory, InMemory, InHdf5, InIsolation]


def _serve(kind: Callable[[Path], Root], directory: Path, paths: Iterable[str]) -> Iterator[Root]:
    root = kind(directory / "root")
    for path in paths:
        root.put(path, CONTENTS[path])
    yield root
    root.source.close()


@pytest.fixture(params=PLAIN)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    """A source of each kind that has plain files too; it serves `CONTENTS`."""
    yield from _serve(request.param, tmp_path, CONTENTS)


@pytest.fixture(params=ARRAYS)
def arrays(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    """A source of each kind that serves the arrays of `CONTENTS`."""
    yield from _serve(request.param, tmp_path, ("a.b2nd", "d/e/b.b2nd"))


@pytest.fixture(scope="module", params=ARRAYS)
def shared_arrays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Root]:
    """Such a source, for the tests of a module that change nothing."""
    yield from _serve(request.param, tmp_path_factory.mktemp("arrays"), ("a.b2nd", "d/e/b.b2nd"))


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


@pytest.fixture
def replica(store: Store) -> Replica:
    """A replica without any chunk."""
    return store.replica(ROOT, INFO)


@pytest.fixture
def sealed(replica: Replica) -> Replica:
    """A complete replica."""
    samples.fill(replica, RAW, range(10))
    replica.seal()
    replica.keep()
    return replica
