"""Fixtures that several test files of this directory share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wiretools import zmq_context

from caterva2.wire import sockets


@pytest.fixture
def context() -> Iterator[sockets.Context]:
    with zmq_context() as made:
        yield made
