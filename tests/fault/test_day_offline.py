"""A day without the origin: what is cached is served as of then, and all are in step after it"""

from __future__ import annotations

import contextlib
import email.utils
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.cli.children import spawn
from tests.conftest import Stack, eventually
from tests.fault.linked import NAME, Linked, write_rows
from tests.fault.movedclock import MovedClock, needs_compiler
from tests.inprocess import add_user

HOUR = 3600
CACHED, MISSED = 10, 20
AT_ONCE = 2.0
ANN, WORD = "ann@example.com", "correct horse"


class Sites:
    """The origin, a subscriber and a mirror at proxies, and a subscriber behind that mirror.

    Parameters
    ----------
    linked : Linked
        The origin, and its proxies.

    Attributes
    ----------
    urls : dict of str to str
        Of the three subscribers.
    """

    def __init__(self, linked: Linked) -> None:
        self.linked, self.stack = linked, linked.stack
        self.urls = {"sub": self.stack.url}
        far = self.stack.hold_port().address
        ports = "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
        self.stack.spawn("bro-far", "cat2bro", "--endpoint", far, *ports).ready()
        self._add("mirror", "--publish", "data", "--publish-to", far)
        self.stack.broker = far
        self._add("far")

    def _add(self, name: str, *given: str) -> None:
        add_user(self.stack.directory / name, ANN, WORD, superuser=False)
        self.stack.start_subscriber(name, given)
        self.urls[name] = self.stack.url
        self.stack.subscribe("data")

    def each(self) -> Iterator[caterva2.Client]:
        """Yield a user's clients of all subscribers, to which the stack's requests go meanwhile."""
        for url in self.urls.values():
            self.stack.url = url
            yield caterva2.Client(url, auth=(ANN, WORD))

    def lose_origin(self) -> None:
        for proxy in self._links():
            proxy.swallow = True
            proxy.cut()

    def find_origin(self) -> None:
        for proxy in self._links():
            proxy.heal()

    def _links(self) -> Iterator[object]:
        return (proxy for name, proxy in self.linked.links.items() if name != "web")

    def way(self) -> dict[str, str]:
        """The way of the root to the current subscriber."""
        [root] = [one for one in self.stack.client.status()["roots"] if one["name"] == "data"]
        found: dict[str, str] = root["way"]
        return found


def rewrite(source: Path) -> np.ndarray:
    """Change a dataset, add one and remove one; return the values of the first."""
    write_rows(source, "added")
    (source / "removed.b2nd").unlink()
    return write_rows(source)


def upload(client: caterva2.Client, directory: Path, name: str) -> None:
    """Write to a special root, and read what was written."""
    local = directory / f"{name}.b2nd"
    values = np.arange(1000)
    blosc2.asarray(values, urlpath=str(local), mode="w")
    client.upload(local, f"@public/{name}.b2nd")
    np.testing.assert_array_equal(client.fetch(f"@public/{name}.b2nd"), values)


def served(sites: Sites, before: np.ndarray, since: float) -> None:
    """Check what the current subscriber says while the origin is away."""
    eventually(lambda: sites.way()["origin"] == "away", 60)
    as_of = datetime.fromisoformat(sites.way()["as_of"]).timestamp()
    assert since - 60 < as_of <= since + 1
    client = sites.stack.client
    with sites.stack.open(f"api/fetch/{NAME}?slice_=3") as answer:
        assert answer.headers["Warning"].startswith("110")
    np.testing.assert_array_equal(client.fetch(NAME, slice(0, CACHED)), before[:CACHED])
    for row in range(CACHED, MISSED):
        began = time.monotonic()
        with pytest.raises(caterva2.HttpError) as refused:
            client.fetch(NAME, row)
        assert refused.value.kind == "root-offline"
        assert time.monotonic() - began < AT_ONCE


def in_step(client: caterva2.Client, before: np.ndarray, after: np.ndarray) -> bool:
    """Whether new values are read; they are not mixed with those of before, nor do these return."""
    with contextlib.suppress(caterva2.HttpError):
        got = client.fetch(NAME, slice(0, MISSED))
        if np.array_equal(got, after[:MISSED]):
            return True
        np.testing.assert_array_equal(got[:CACHED], before[:CACHED])
    return False


@pytest.mark.slow
@pytest.mark.timeout(300)
@needs_compiler
def test_a_day_without_the_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MovedClock(tmp_path)
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    stack = Stack(tmp_path, spawn)
    try:
        stack.secret = "keeps sessions"
        stack.add_user(ANN, WORD)
        linked = Linked(stack, tmp_path)
        before = linked.values
        blosc2.zeros(1000, urlpath=str(linked.source / "removed.b2nd"))
        sites = Sites(linked)
        for client in sites.each():
            np.testing.assert_array_equal(client.fetch(NAME, slice(0, CACHED)), before[:CACHED])
            eventually(lambda: "removed.b2nd" in stack.client.get_list("data"))
        since = clock.now
        sites.lose_origin()
        after = rewrite(linked.source)
        for hour in range(24):
            clock.move(HOUR)
            for client in sites.each():
                if hour % 6 == 0:
                    upload(client, tmp_path, f"hour{hour}")
                np.testing.assert_array_equal(
                    client.fetch(NAME, hour % CACHED), before[hour % CACHED]
                )
        for _ in sites.each():
            served(sites, before, since)
            with stack.open("api/roots") as answer:
                said = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
            assert said - since > 23 * HOUR
        began = time.monotonic()
        sites.find_origin()
        for client in sites.each():
            eventually(lambda client=client: in_step(client, before, after), 60)  # type: ignore[misc]
            eventually(lambda: sites.way()["origin"] == "up")
            assert sorted(client.get_list("data")) == ["a.b2nd", "added.b2nd"]
            for row in range(MISSED):
                np.testing.assert_array_equal(client.fetch(NAME, row), after[row])
            assert len(client.get_list("@public")) == 4
        print(f"all are in step {time.monotonic() - began:.1f} s after the return")
    finally:
        stack.stop_all()
        linked.close()
