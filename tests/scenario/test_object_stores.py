"""A bucket as a root, through all services, while its objects change and its server goes away"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from caterva2.client.errors import HttpError
from tests.conftest import Stack, eventually
from tests.s3server import ENVIRONMENT, S3Server
from tests.unit.samples import array_frame

VALUES = np.random.default_rng(1).random(100_000)
FRAME = array_frame(VALUES, chunks=(10_000,), blocks=(1_000,))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = S3Server()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


def test_values_changes_and_an_outage_reach_the_client(stack: Stack, server: S3Server) -> None:
    bucket = server.bucket()
    bucket.put("d/a.b2nd", FRAME)
    bucket.put("b.txt", b"text")
    stack.configure("[limits.publisher]\npoll = 0.1\nobject_timeout = 1\nobject_retries = 0\n")
    stack.start_broker()
    stack.start_publisher("foo", bucket.s3)
    stack.start_subscriber()
    stack.subscribe("foo")
    client = stack.client
    assert client.get_list("foo") == ["b.txt", "d/a.b2nd"]
    assert stack.get("api/download/foo/b.txt") == b"text"
    np.testing.assert_array_equal(client.fetch("foo/d/a.b2nd", slice(15_000)), VALUES[:15_000])
    server.stop()
    np.testing.assert_array_equal(client.fetch("foo/d/a.b2nd", slice(15_000)), VALUES[:15_000])
    with pytest.raises(HttpError, match="503"):
        client.fetch("foo/d/a.b2nd", slice(90_000, None))
    server.start()
    bucket.put("d/a.b2nd", array_frame(VALUES + 1, chunks=(10_000,), blocks=(1_000,)))
    assert eventually(lambda: client.fetch("foo/d/a.b2nd", 0) == VALUES[0] + 1)
    stack.stop("pub")
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in stack.log("pub")
