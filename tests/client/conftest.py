"""Services for the tests of the client's cache, with a root that these may change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.client.arrays import GRID, MANY, write, write_odd
from tests.client.line import Line
from tests.conftest import Stack, example_root


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services with a copy of the example root, arrays of 12 and of 450 chunks, and odd ones."""
    directory = tmp_path_factory.mktemp("lab")
    shutil.copytree(example_root(), directory / "source")
    write(directory / "source" / "grid.b2nd", GRID)
    write(directory / "source" / "many.b2nd", MANY)
    write_odd(directory / "source")
    made = Stack(directory)
    try:
        made.start(foo=directory / "source")
        yield made
    finally:
        made.stop_all()


@pytest.fixture
def line(lab: Stack) -> Iterator[Line]:
    made = Line(lab.url)
    yield made
    made.close()
