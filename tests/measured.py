"""Coverage of the pure modules by their own tests, which are those of `tests/pure.txt`.

``python -m tests.measured PYTEST_ARGUMENTS`` traces the import of these modules, and then each of
these tests alone: tracing all would take half as long again, and tracing what all tests import
as long as the collection of these.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import coverage
import pytest

TOP = Path(__file__).parent.parent
PURE = {TOP / name for name in (TOP / "tests" / "pure.txt").read_text().split()}
OF_OTHERS = "blosc2", "httpx", "msgpack", "numpy", "pydantic"
"""What the pure modules import; it is not measured."""
_measuring: list[coverage.Coverage] = []
"""What measures the tests of this run, if anything does."""


def main(arguments: Sequence[str]) -> int:
    """Import the pure modules, run tests, and write which lines both reached."""
    for name in OF_OTHERS:
        importlib.import_module(name)
    running = coverage.Coverage()
    running.start()
    for pattern in running.get_option("run:include"):
        for path in sorted(TOP.glob(pattern)):
            importlib.import_module(".".join(path.relative_to(TOP).with_suffix("").parts))
    running.stop()
    running._warn_preimported_source = False  # it would look through all modules at each start
    _measuring.append(running)
    try:
        return pytest.main(list(arguments), plugins=[sys.modules[__name__]])
    finally:
        save()


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


if __name__ == "__main__":
    from tests import measured  # as the others import it

    sys.exit(measured.main(sys.argv[1:]))
