"""Coverage of the pure modules by their own tests, which are those of `tests/pure.txt`.

``python -m coverage run -m pytest`` traces what runs while tests are imported, and then each of
these tests alone: tracing all would take half as long again.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

TOP = Path(__file__).parent.parent
PURE = {TOP / name for name in (TOP / "tests" / "pure.txt").read_text().split()}
_measuring: list[coverage.Coverage] = []
"""What measures the tests of this run, if anything does."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish() -> None:
    """Trace no more, but for the tests that count."""
    running = coverage.Coverage.current()
    if running is not None:
        running.stop()
        running._warn_preimported_source = False  # it would look through all modules at each start
        _measuring.append(running)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    counting = _measuring if counts(item) else []
    for running in counting:
        running.start()
    try:
        return (yield)
    finally:
        for running in counting:
            running.stop()


def counts(item: pytest.Item) -> bool:
    """Whether lines count that a test reaches; those of random tests do not."""
    return item.path in PURE and not item.get_closest_marker("no_cover")


def save() -> None:
    """Write what was measured in a process that ends without Python's own end."""
    for running in _measuring:
        running.save()
