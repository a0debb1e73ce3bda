"""Services that several test files need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Stack
from tests.scenario.accounts import start_with_accounts


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker and a subscriber; each test of a module publishes a root of its own."""
    stack = Stack(tmp_path_factory.mktemp("lab"))
    try:
        stack.start_services()
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A subscriber whose only root, ``foo``, is for users."""
    stack = Stack(tmp_path_factory.mktemp("members"))
    try:
        start_with_accounts(stack)
        yield stack
    finally:
        stack.stop_all()
