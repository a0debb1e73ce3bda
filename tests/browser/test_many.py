"""A root of 100,000 datasets on pages: few requests, bytes and nodes, however many there are"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from caterva2.names import RootName
from caterva2.publisher.service import Publisher, PublisherOptions
from caterva2.sources.memory import MemorySource
from caterva2.wire.sockets import Address
from tests.browser.visits import Visit
from tests.conftest import Stack, eventually

pytestmark = pytest.mark.slow
"""`test_people.py` has a root of 1,200 for every day."""
RUNS, OF_A_RUN, FLAT = 100, 900, 10_000
NODES = "document.querySelectorAll('*').length"


class Still(MemorySource):
    """A source that never changes once it is filled."""

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        stop.wait()
        yield from ()


def many() -> MemorySource:
    """100 directories of 900 files, and one of 10,000."""
    source = Still()
    for name, count in [*((f"run{n:03}", OF_A_RUN) for n in range(RUNS)), ("flat", FLAT)]:
        for n in range(count):
            source.put(f"{name}/ds{n:05}.txt", b"x")
    return source


class Published:
    """A publisher of them in a thread: no disk has to be filled for it."""

    def __init__(self, stack: Stack) -> None:
        anywhere = Address.parse("127.0.0.1:0")
        self._options = PublisherOptions(
            RootName("many"), Address.parse(stack.broker), anywhere, None, stack.directory / "many"
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()

    async def _serve(self) -> None:
        async with Publisher.serving(self._options, many):
            await asyncio.to_thread(self._ended.wait)

    def end(self) -> None:
        self._ended.set()
        self._thread.join(60)


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("many"))
    made.start_broker()
    published = Published(made)
    try:
        made.start_subscriber()
        eventually(lambda: "many" in made.client.get_roots(), 60)
        made.subscribe("many")
        yield made
    finally:
        published.end()
        made.stop_all()


@pytest.mark.parametrize(
    "path", ["/roots/many", "/roots/many/flat", "/roots/many/run050", "/search?q=ds00899"]
)
def test_the_first_rows_cost_what_is_shown(visit: Visit, path: str) -> None:
    page = visit.go(path)
    assert 50 <= page.locator("tbody tr").count() <= 101
    assert len(visit.requests) <= 15
    assert visit.received <= 300_000
    assert page.evaluate(NODES) < 2000
