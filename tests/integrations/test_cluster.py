"""A Dask cluster that computes large expressions for a subscriber, with its users' rights."""

from __future__ import annotations

import http.client
import itertools
import json
import pickle
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.compute.sharing import Task
from caterva2.errors import RootOffline, SourceCorrupt, StaleVersion
from caterva2.integrations.cluster import entry, worker
from caterva2.limits import DEFAULTS
from caterva2.version import __version__
from tests.conftest import HeldPort, Stack, eventually
from tests.unit.computing import plan

SETTINGS = """[subscriber]
read = "users"
metrics_for = "public"
[limits.cluster]
cluster_least = 1
cluster_piece = {piece}
cluster_connect = 30
cluster_patience = 60
cluster_retry = {retry}
"""
"""Settings with which everything is handed over, in many pieces."""
ONE_PROCESS = """
import sys, threading, distributed
cluster = distributed.LocalCluster(
    n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None,
    host="127.0.0.1", scheduler_port=int(sys.argv[1]), protocol="tcp",
)
threading.Event().wait()
"""
VALUES = np.arange(60_000, dtype=np.float64).reshape(200, 300) % 97
ANN = ("ann@example.com", "correct horse")


class Cluster:
    """A scheduler and workers, as an operator starts them: a process each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = HeldPort()
        self.address = f"tcp://{self._port.address}"
        self._all: list[subprocess.Popen[bytes]] = []

    def _start(self, *given: str) -> subprocess.Popen[bytes]:
        log = self._directory / f"dask-{len(self._all)}.log"
        with log.open("wb") as file:
            command = [sys.executable, *given]
            made = subprocess.Popen(command, stdout=file, stderr=file, cwd=self._directory)
        self._all.append(made)
        return made

    def in_one_process(self) -> subprocess.Popen[bytes]:
        """Start a scheduler with a worker."""
        return self._start("-c", ONE_PROCESS, str(self._port.number))

    def scheduler(self) -> subprocess.Popen[bytes]:
        host, port = self._port.address.split(":")
        module = "-m", "distributed.cli.dask_scheduler"
        return self._start(*module, "--host", host, "--port", port, "--no-dashboard")

    def worker(self) -> subprocess.Popen[bytes]:
        options = "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"
        module = "-m", "distributed.cli.dask_worker"
        where = "--local-directory", str(self._directory)
        return self._start(*module, self.address, *options, *where)

    def stop(self) -> None:
        for process in self._all:
            process.kill()
            process.wait()
        self._port.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    made.mkdir()
    blosc2.asarray(VALUES, chunks=(20, 100), blocks=(10, 50), urlpath=str(made / "a.b2nd"))
    return made


def begin(stack: Stack, source: Path, dask: str, piece: int, retry: float = 0.5) -> caterva2.Client:
    """Start services with accounts; the root is for users."""
    stack.configure(SETTINGS.format(piece=piece, retry=retry))
    stack.secret = "a-secret-that-keeps-sessions"
    stack.add_user(*ANN)
    stack.start_services("--dask", dask, foo=source)
    client = caterva2.Client(stack.url, auth=ANN)
    eventually(lambda: client.get_info("foo/a.b2nd"))
    return client


def pieces(stack: Stack) -> float:
    return stack.metric("cluster_pieces_total")


def wait_for_cluster(stack: Stack, client: caterva2.Client) -> None:
    """Compute until the cluster does it: it starts beside the services."""
    numbers = itertools.count()  # so that no result is cached
    eventually(
        lambda: client.compute(f"sum(a + {next(numbers)})", a="foo/a.b2nd") and pieces(stack), 60
    )


@pytest.mark.slow
@pytest.mark.timeout(300)  # a cluster takes seconds to start
def test_cluster_computes_with_the_rights_of_the_user_and_is_done_without(
    stack: Stack, cluster: Cluster, source: Path
) -> None:
    process = cluster.in_one_process()
    client = begin(stack, source, cluster.address, piece=100_000)
    array: Any = client["foo/a.b2nd"]
    wait_for_cluster(stack, client)
    lost = stack.log("sub").count("is not used")  # before it had started
    assert array.std() == pytest.approx(VALUES.std())
    before = pieces(stack)
    found = client.compute("a - mean(a, axis=0)", a=array)
    np.testing.assert_allclose(found, VALUES - VALUES.mean(axis=0))
    assert pieces(stack) >= before + 10
    client.lazyexpr("doubled", "a * 2", {"a": "foo/a.b2nd"})
    before = pieces(stack)
    np.testing.assert_array_equal(client.fetch("@personal/doubled.b2nd"), VALUES * 2)
    assert pieces(stack) > before
    with pytest.raises(caterva2.Missing):  # who may not read the root
        stack.client.compute("mean(a)", a="foo/a.b2nd")

    lost = stack.log("sub").count("is not used")
    process.kill()
    process.wait()
    before = pieces(stack)
    assert array.var() == pytest.approx(VALUES.var())
    assert pieces(stack) == before
    assert stack.log("sub").count("is not used") == lost + 1
    assert "ERROR" not in stack.log("sub")


def test_subscriber_without_its_scheduler_computes_by_itself(
    stack: Stack, cluster: Cluster, source: Path
) -> None:
    client = begin(stack, source, cluster.address, piece=100_000, retry=300)
    array: Any = client["foo/a.b2nd"]
    assert array.mean() == pytest.approx(VALUES.mean())
    assert array.max() == VALUES.max()
    assert "is not used, and tried again every 300 s: the scheduler does not answer" in stack.log(
        "sub"
    )
    assert stack.log("sub").count("is not used") == 1


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (401, "login-needed", StaleVersion), (404, "not-found", StaleVersion),
        (410, "gone", StaleVersion), (503, "root-offline", RootOffline),
        (502, "source-corrupt", SourceCorrupt), (503, "busy", None), (500, "unheard-of", None),
    ],
)  # fmt: skip
def test_what_a_worker_is_refused_reaches_the_reader_or_is_computed_here(
    monkeypatch: pytest.MonkeyPatch, status: int, kind: str, expected: type[Exception] | None
) -> None:
    error = caterva2.HttpError(status, "Reason", "a detail", kind)

    def refused(*_: Any) -> None:
        raise error

    monkeypatch.setattr("caterva2.client.read.values.values", refused)
    node = plan("a + 1", a=np.arange(3))
    task = Task(node, (range(3),), (), False, DEFAULTS.compute)
    payload = pickle.dumps((worker.Access("http://127.0.0.1:1", "a-token"), task))
    found = entry.perform(__version__, payload)
    assert type(found.error) is (expected or type(None))
    assert "a detail" in str(found.error or found.reason)
    assert "a-token" not in repr(pickle.loads(payload))
    assert "not 1" in entry.perform("1", payload).reason


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lost_worker_is_survived_and_a_reader_who_leaves_ends_the_pieces(
    stack: Stack, cluster: Cluster, source: Path
) -> None:
    cluster.scheduler()
    workers = [cluster.worker(), cluster.worker()]
    client = begin(stack, source, cluster.address, piece=5000)
    array: Any = client["foo/a.b2nd"]
    wait_for_cluster(stack, client)
    lost = stack.log("sub").count("is not used")  # before it had started
    with ThreadPoolExecutor(1) as pool:
        before = pieces(stack)
        found = pool.submit(array.std)
        eventually(lambda: pieces(stack) > before + 10)
        workers[0].kill()
        assert not found.done()
        assert found.result(100) == pytest.approx(VALUES.std())
    assert pieces(stack) - before >= VALUES.nbytes // 5000
    assert stack.log("sub").count("is not used") == lost

    before = pieces(stack)
    address = urllib.parse.urlsplit(stack.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    body = json.dumps({"expression": "var(a)", "operands": {"a": "foo/a.b2nd"}})
    cookie = client.transport.session.token().cookie
    headers = {"Cookie": cookie, "Content-Type": "application/json"}
    connection.request("POST", "/api/compute", body, headers)
    eventually(lambda: pieces(stack) > before + 5)
    connection.close()
    eventually(lambda: client.compute("count_nonzero(a[:1])", a="foo/a.b2nd") == 296)

    def ended() -> bool:
        seen = pieces(stack)
        time.sleep(1)  # observed: no more pieces are computed
        return pieces(stack) == seen

    eventually(ended)  # the subscriber looks for readers who left every DISCONNECT_CHECK
    assert pieces(stack) < before + VALUES.nbytes // 5000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_right_that_is_revoked_ends_the_pieces_under_way(
    stack: Stack, cluster: Cluster, source: Path
) -> None:
    large = np.tile(VALUES, (10, 1))  # for a thousand pieces
    blosc2.asarray(large, chunks=(20, 100), blocks=(10, 50), urlpath=str(source / "b.b2nd"))
    cluster.scheduler()
    cluster.worker()
    cluster.worker()
    client = begin(stack, source, cluster.address, piece=5000)
    wait_for_cluster(stack, client)
    lost = stack.log("sub").count("is not used")  # before it had started
    settings = stack.directory / "caterva2.toml"
    public = settings.read_text()

    def readable_by(whom: str) -> None:
        settings.write_text(f"{public}[subscriber.roots.foo]\nread = {whom}\n")
        stack.children["sub"].process.send_signal(signal.SIGHUP)

    with ThreadPoolExecutor(1) as pool:
        before = pieces(stack)
        found = pool.submit(client.compute, "var(b)", b="foo/b.b2nd")
        eventually(lambda: pieces(stack) > before + 20)
        assert not found.done()
        readable_by('["bob@example.com"]')
        with pytest.raises(caterva2.Missing):
            found.result(100)
    ended = pieces(stack)
    assert ended - before < large.nbytes // 5000
    assert "foo" not in client.get_roots()
    readable_by('"users"')
    eventually(lambda: client.get_info("foo/b.b2nd"))
    assert client.compute("mean(b)", b="foo/b.b2nd") == pytest.approx(large.mean())
    assert pieces(stack) >= ended + large.nbytes // 5000
    assert stack.log("sub").count("is not used") == lost
