"""Object stores whose server is gone or silent: offline in time, and never taken for empty."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from objectstores import CONTENTS, LARGE, QUICK, etag_of, opened, put_zarr
from sourcereads import path_of, values_of

from caterva2.errors import (
    DeadlineExceeded,
    RootOffline,
)
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.stores.objects import ObjectSource
from caterva2.stores.remote import RemoteStore
from caterva2.stores.zarr.source import ZarrSource
from tests.s3server import S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def test_a_server_that_is_gone_is_offline_until_it_is_back(monkeypatch: Any) -> None:
    server = S3Server()
    try:
        monkeypatch.setenv("AWS_ENDPOINT", server.url)
        bucket = server.bucket()
        bucket.put("large.b2nd", CONTENTS["large.b2nd"])
        source = opened(bucket.s3)
        etag = etag_of(source, "large.b2nd")
        server.stop()
        for ask in (
            source.scan, lambda: list(source.chunks(path_of("large"), etag, [0, 1, 2, 3])),
        ):  # fmt: skip
            with pytest.raises(RootOffline) as caught:
                ask()
            assert "not-to-be-logged" not in str(caught.value)
            assert "\n" not in str(caught.value)
        server.start()
        np.testing.assert_array_equal(values_of(source, "large"), LARGE)
        source.close()
    finally:
        server.stop()


def test_an_outage_during_a_scan_is_not_taken_for_an_empty_store(monkeypatch: Any) -> None:
    server = S3Server()
    try:
        monkeypatch.setenv("AWS_ENDPOINT", server.url)
        bucket = server.bucket()
        put_zarr(bucket, "", "g/a")
        store = RemoteStore(bucket.s3, QUICK)
        source, plain = ZarrSource(store, limits=QUICK), store.read

        def read(*given: Any, **named: Any) -> Any:
            server.stop()
            return plain(*given, **named)

        store.read = read  # type: ignore[method-assign]
        with pytest.raises(RootOffline):
            source.scan()
        source.close()
    finally:
        server.stop()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_deadline_ends_a_wait_for_a_server(silent: str) -> None:
    store = RemoteStore(f"http://{silent}/x", DEFAULTS.publisher)
    source = ObjectSource(store)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        source.info(DatasetPath("a.b2nd"), time.monotonic() + 0.2)
    assert time.monotonic() - began < 5
    source.close()


def test_a_server_that_never_answers_is_offline(silent: str) -> None:
    limits = dataclasses.replace(QUICK, object_timeout=0.2)
    source = ObjectSource(RemoteStore(f"http://{silent}/x", limits), limits)
    with pytest.raises(RootOffline):
        source.info(DatasetPath("a.b2nd"))
    source.close()
