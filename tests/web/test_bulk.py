"""Streams of chunks over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.rest.stream import MEDIA_TYPE
from tests.conftest import Stack, eventually
from tests.fault.proxy import Proxy
from tests.web.asking import ask

ACCEPT = f"{MEDIA_TYPE}, */*;q=0.1"


def test_stream_is_only_for_who_asks_for_it(shared_stack: Stack) -> None:
    target = "api/fetch/foo/dir1/ds-2d.b2nd?slice_=2:4"
    plain, streamed = ask(shared_stack, target), ask(shared_stack, target, Accept=ACCEPT)
    assert plain.headers["content-type"] == "application/octet-stream"
    assert streamed.headers["content-type"] == MEDIA_TYPE
    assert streamed.headers["vary"] == "Accept"
    assert streamed.headers["etag"] == plain.headers["etag"]
    assert streamed.body.startswith(b"C2S\x01")


@pytest.mark.parametrize(
    ("target", "status"),
    [("foo/nope.b2nd", 404), ("nope/x.b2nd", 404), ("foo/ds-1d.b2nd?slice_=5000", 400)],
)
def test_error_before_the_first_part_has_its_status(
    shared_stack: Stack, target: str, status: int
) -> None:
    found = ask(shared_stack, f"api/fetch/{target}", Accept=ACCEPT)
    assert found.status == status
    assert found.json["detail"]


def test_index_arrays_and_fields_come_as_values(shared_stack: Stack) -> None:
    found = ask(
        shared_stack, "api/fetch/foo/ds-1d-fields.b2nd?field=a&indices=[[5,7]]", Accept=ACCEPT
    )
    assert found.body.endswith(np.array([5, 7], "<i4").tobytes())


def store(values: np.ndarray, path: Path) -> None:
    """Store random values, which no codec makes smaller."""
    blosc2.asarray(values, chunks=(1, 2**15), urlpath=str(path), cparams={"clevel": 0})


@pytest.fixture
def linked(stack: Stack, tmp_path: Path) -> tuple[Stack, Proxy, np.ndarray]:
    """An array of 64 chunks of 256 KB behind a link that can be disturbed."""
    source = tmp_path / "data"
    source.mkdir()
    values = np.random.default_rng(0).random((64, 2**15))
    store(values, source / "a.b2nd")
    port = stack.hold_port()
    proxy = Proxy(port.number)
    stack.start_broker()
    advertise = "--advertise", f"127.0.0.1:{proxy.port}"
    stack.start_publisher("data", source, endpoint=port.address, given=advertise)
    stack.start_subscriber()
    stack.subscribe("data")
    return stack, proxy, values


def test_first_chunks_arrive_before_the_last_are_fetched(
    linked: tuple[Stack, Proxy, np.ndarray],
) -> None:
    stack, proxy, _ = linked
    with proxy:
        proxy.bandwidth = 4e6
        parts = urllib.parse.urlsplit(stack.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        connection.request("GET", "/api/fetch/data/a.b2nd", headers={"Accept": ACCEPT})
        response = connection.getresponse()
        assert len(response.read(2**18)) == 2**18
        assert stack.metric("fetched_chunks_total") < 60
        connection.close()


def is_kept(reader: caterva2.Client, n: int, values: np.ndarray) -> bool:
    """Whether an item is read while its publisher is away."""
    with contextlib.suppress(caterva2.HttpError):
        np.testing.assert_array_equal(reader.fetch("data/a.b2nd", n), values)
        return True
    return False


def test_publisher_that_goes_offline_during_a_stream_is_reported(
    linked: tuple[Stack, Proxy, np.ndarray],
) -> None:
    stack, proxy, values = linked
    with proxy:
        proxy.bandwidth = 2e6
        reader = caterva2.Client(stack.url)

        def read() -> str:
            try:
                reader.fetch("data/a.b2nd")
            except caterva2.HttpError as error:
                return str(error)
            return "everything came"

        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(read)
            eventually(lambda: stack.metric("fetched_chunks_total") > 8)
            stack.stop("pub")
            assert told.result(60).startswith("503 ")
        assert any(is_kept(reader, n, values[n]) for n in range(len(values)))


def test_dataset_that_changes_under_way_is_read_anew(
    linked: tuple[Stack, Proxy, np.ndarray], tmp_path: Path
) -> None:
    stack, proxy, values = linked
    with proxy:
        proxy.bandwidth = 8e6
        client = caterva2.Client(stack.url)

        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(client.fetch, "data/a.b2nd")
            eventually(lambda: stack.metric("fetched_chunks_total") > 4)
            temporary = tmp_path / "new.b2nd"
            store(values + 1, temporary)
            temporary.rename(tmp_path / "data" / "a.b2nd")
            result = found.result(60)
        first = result.flat[0] - values.flat[0]
        np.testing.assert_array_equal(result, values + round(first))


def test_chunks_of_one_byte_come_through(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    values = np.arange(600, dtype="u1")
    blosc2.asarray(values, chunks=(1,), blocks=(1,), urlpath=str(source / "a.b2nd"))
    client = stack.start(data=source)
    np.testing.assert_array_equal(client.get("data/a.b2nd")[...], values)
