"""A subscriber with accounts, for the tests of several modules"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Stack

SUPER, WORD = "super@example.com", "correct horse"


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A subscriber with accounts, and nothing else."""
    made = Stack(tmp_path_factory.mktemp("accounts"))
    made.secret = "keeps sessions"
    (made.directory / "caterva2.toml").write_text("[subscriber]\nregister = true\n")
    try:
        made.add_user(SUPER, WORD, "--superuser")
        made.start_subscriber()
        yield made
    finally:
        made.stop_all()
