"""The suite of fsspec for its file systems, in a special root."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fsspec.tests import abstract

from caterva2.integrations.filesystem import Caterva2FileSystem
from tests.conftest import Stack
from tests.scenario.accounts import ANN, WORD

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.secret = "keeps sessions"
    try:
        stack.add_user(ANN, WORD)
        stack.start_services()
        yield stack
    finally:
        stack.stop_all()


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]
    @pytest.fixture
    def fs(self, served: Stack) -> Any:
        made = Caterva2FileSystem(served.url, auth=(ANN, WORD), skip_instance_cache=True)
        yield made
        for path in made.ls("@public", detail=False):
            made.rm(path, recursive=True)

    @pytest.fixture
    def fs_path(self) -> str:
        return "@public"

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(abstract.AbstractCopyTests, Fixtures):  # type: ignore[misc]
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):  # type: ignore[misc]
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):  # type: ignore[misc]
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):  # type: ignore[misc]
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):  # type: ignore[misc]
    pass
