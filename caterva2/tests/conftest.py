"""What the tests of an installation share: the subscriber, a client, and the original files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caterva2.client import Client, Unreachable
from caterva2.examples import exampleroot
from caterva2.tests import reached
from caterva2.tests.reached import Reached

PATIENCE_S = 30.0


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the example root, with which answers are compared."""
    directory = tmp_path_factory.mktemp("originals")
    exampleroot.make(directory)
    return directory


@pytest.fixture(scope="session")
def subscriber(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    """Start a site, or find the one that runs."""
    if reached.is_external():
        try:
            found = reached.external()
        except (Unreachable, reached.NoExample) as error:
            pytest.exit(f"{type(error).__name__}: {error}", 1)
        yield found
        return
    top = tmp_path_factory.mktemp("site")
    exampleroot.make(top / "example")
    with reached.own(top, top / "example") as made:
        _wait_until_known(made)
        yield made


def _wait_until_known(site: Reached) -> None:
    until = time.monotonic() + PATIENCE_S
    with site.client() as client:
        while site.root not in client.get_roots():
            assert time.monotonic() < until, "the publisher's root does not appear"
            time.sleep(0.05)
        client.subscribe(site.root)


@pytest.fixture(scope="session")
def client(subscriber: Reached) -> Iterator[Client]:
    """Make a client of the user whom the tests log in."""
    with subscriber.client() as made:
        yield made


@pytest.fixture(scope="session")
def root(subscriber: Reached) -> str:
    """Return the root of the example's datasets."""
    return subscriber.root


@pytest.fixture
def place(client: Client) -> Iterator[str]:
    """Return a directory of a special root that is this test's alone."""
    me = client.me()
    if me.get("user") is None or not me.get("special"):
        pytest.skip("needs a user who may change special roots")
    directory = f"@personal/tests-{time.time_ns()}"
    yield directory
    client.remove(directory)
