"""Services behind bad links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Stack
from tests.fault.linked import Linked


@pytest.fixture
def linked(stack: Stack, tmp_path: Path) -> Iterator[Linked]:
    made = Linked(stack, tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linked]:
    directory = tmp_path_factory.mktemp("linked")
    stack = Stack(directory)
    try:
        made = Linked(stack, directory)
        yield made
        made.close()
    finally:
        stack.stop_all()


@pytest.fixture
def world(shared_world: Linked) -> Iterator[Linked]:
    """Services for the tests that leave them well: links are good, and nothing is cached."""
    shared_world.renew()
    yield shared_world
    shared_world.heal()
