"""Services for the tests of the client's cache, with a root that these may change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import numpy.typing as npt
import pytest

from tests.client.line import Line
from tests.conftest import Stack, example_root

GRID = np.random.default_rng(7).integers(0, 2**30, (40, 60))


def write(path: Path, values: npt.NDArray[np.int64]) -> None:
    """Put an array in the place of a file, as one step."""
    temporary = path.with_name("." + path.name)
    blosc2.asarray(values, chunks=(10, 20), blocks=(5, 10), urlpath=str(temporary), mode="w")
    temporary.rename(path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services with a copy of the example root, and an array of 12 chunks in it."""
    directory = tmp_path_factory.mktemp("lab")
    shutil.copytree(example_root(), directory / "source")
    write(directory / "source" / "grid.b2nd", GRID)
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
