"""Services with special roots and users."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Stack, eventually, example_root
from tests.web.accountworld import World, started
from tests.web.places import Places


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    stack = Stack(tmp_path_factory.mktemp("places"))
    stack.secret = "keeps sessions"
    made = Places(stack)
    (stack.directory / "caterva2.toml").write_text(
        '[subscriber.roots.anns]\nread = ["ann@example.com"]\n'
    )
    try:
        made.add_users("ann", "bob", "super")
        stack.start_services(foo=example_root(), anns=example_root())
        eventually(lambda: {"foo", "anns"} <= made.get("ann", "api/roots").json.keys())
        yield made
    finally:
        stack.stop_all()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A subscriber with accounts, for tests that leave its users and roots as they are."""
    stack = Stack(tmp_path_factory.mktemp("accounts"))
    stack.secret = "keeps sessions"
    try:
        yield started(stack)
    finally:
        stack.stop_all()
