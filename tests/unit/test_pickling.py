"""Clients and datasets in other processes: what is pickled, and how dask identifies it."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import cloudpickle
import numpy as np
import pytest

import caterva2
from caterva2.limits import ClientLimits
from caterva2.rest import stream
from tests.httpscript import Received, Reply, Script, refusal, serving

PASSWORD = "correct horse"
VALUES = np.arange(6)
INFO = {
    "kind": "array", "shape": [6], "chunks": [2], "blocks": [1], "dtype": "<i8", "etag": "v1",
    "schunk": {"nbytes": 48, "cbytes": 40},
}  # fmt: skip


def answer(received: Received, version: str = "v1") -> Reply:
    """Serve an array, and give a session to a user with the right password."""
    path = received.path.partition("?")[0]
    if path == "/auth/jwt/login":
        if PASSWORD.replace(" ", "+").encode() not in received.body:
            return Reply(status=400, body=b"{}")
        headers = {"Set_Cookie": "c2subauth=secret-token; Max-Age=1000"}
        return Reply(status=204, body=b"", headers=headers)
    if path.startswith("/api/fetch/"):
        head = stream.begin_values("array", VALUES.shape, "<i8")
        headers = {"Content_Type": stream.MEDIA_TYPE, "ETag": f'"{version}"'}
        return Reply(body=head + VALUES.tobytes(), headers=headers)
    group = {"kind": "group", "attrs": {}}
    described = INFO | {"etag": version} if path.endswith(".b2nd") else group
    found: Any = described if path.startswith("/api/info/") else "Ok"
    return Reply(body=json.dumps(found).encode())


@pytest.fixture
def script() -> Iterator[Script]:
    with serving(answer) as made:
        yield made


def test_dataset_is_read_in_another_process(script: Script) -> None:
    client = caterva2.Client(script.url, timeout=7, limits=ClientLimits(tries=3))
    array = client.get("foo/a.b2nd")
    np.testing.assert_array_equal(array[...], VALUES)  # it has a connection now  # type: ignore[index]
    program = (
        "import pickle, sys; array = pickle.load(sys.stdin.buffer); "
        "print(array[...].tolist(), array._client.transport.limits.tries)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(array), capture_output=True, check=False
    )
    assert (done.stdout.decode(), done.stderr.decode()) == (f"{VALUES.tolist()} 3\n", "")


def test_roots_files_fields_and_asynchronous_clients_are_pickled(script: Script) -> None:
    client = caterva2.Client(script.url)
    root: Any = client.get("foo")
    array: Any = root["a.b2nd"]
    for found in (client, root, client.get("foo/d"), array, caterva2.Field(array, "x")):
        assert repr(pickle.loads(pickle.dumps(found))) == repr(found)
    other = pickle.loads(pickle.dumps(caterva2.AsyncClient(script.url)))
    assert other.urlbase == script.url


def test_password_and_token_are_not_pickled(script: Script) -> None:
    client = caterva2.Client(script.url, auth=("ada@example.org", PASSWORD))
    array: Any = client.get("foo/a.b2nd")
    np.testing.assert_array_equal(array[...], VALUES)
    packed = pickle.dumps(array)
    assert PASSWORD.encode() not in packed
    assert b"secret-token" not in packed
    assert b"ada@example.org" in packed


def test_unpickled_client_of_a_user_needs_the_password(script: Script) -> None:
    client = caterva2.Client(script.url, auth=("ada@example.org", PASSWORD))
    array: Any = pickle.loads(pickle.dumps(client.get("foo/a.b2nd")))
    before = len(script.asked)
    with pytest.raises(
        caterva2.LoginNeeded, match=r"no password for ada@example\.org.*CATERVA2_URL"
    ):
        _ = array[...]
    assert len(script.asked) == before  # nothing is requested as another user
    other = array._client
    with pytest.raises(caterva2.LoginFailed, match="wrong name or password"):
        other.login("wrong")
    other.login(PASSWORD)
    np.testing.assert_array_equal(array[...], VALUES)


@pytest.mark.parametrize(
    ("user", "port", "works"),
    [
        ("ada@example.org", "", True),
        ("ann@example.org", "", False),
        ("ada@example.org", "1", False),
    ],
)
def test_unpickled_client_takes_the_password_of_its_user_and_subscriber_from_the_environment(
    script: Script, monkeypatch: pytest.MonkeyPatch, user: str, port: str, works: bool
) -> None:
    client = caterva2.Client(script.url, auth=("ada@example.org", PASSWORD))
    array: Any = pickle.loads(pickle.dumps(client.get("foo/a.b2nd")))
    monkeypatch.setenv("CATERVA2_USERNAME", user)
    monkeypatch.setenv("CATERVA2_PASSWORD", PASSWORD)
    monkeypatch.setenv("CATERVA2_URL", f"http://127.0.0.1:{port}" if port else script.url)
    if works:
        np.testing.assert_array_equal(array[...], VALUES)
    else:
        with pytest.raises(caterva2.LoginNeeded, match=r"ada@example\.org"):
            _ = array[...]


def test_all_that_is_unpickled_in_a_process_shares_connections_and_login(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = caterva2.Client(script.url, auth=("ada@example.org", PASSWORD))
    packed = pickle.dumps(client.get("foo/a.b2nd"))
    monkeypatch.setenv("CATERVA2_USERNAME", "ada@example.org")
    monkeypatch.setenv("CATERVA2_PASSWORD", PASSWORD)
    monkeypatch.setenv("CATERVA2_URL", script.url)
    script.asked.clear()
    connections = script.connections
    for _ in range(3):  # as the tasks of a computation are handed them
        array: Any = pickle.loads(packed)
        np.testing.assert_array_equal(array[...], VALUES)
    assert [one.path.partition("?")[0] for one in script.asked] == [
        "/auth/jwt/login", *["/api/fetch/foo/a.b2nd"] * 3,
    ]  # fmt: skip
    assert script.connections == connections + 1
    array._client.logout()
    over = refusal(401, "login-needed", Set_Cookie='c2subauth=""; Max-Age=0')
    script.answer = lambda received: over if len(script.asked) == before + 1 else answer(received)
    before = len(script.asked)
    other: Any = pickle.loads(packed)
    np.testing.assert_array_equal(other[...], VALUES)  # after another login
    paths = [one.path.partition("?")[0] for one in script.asked[before:]]
    assert paths == ["/api/fetch/foo/a.b2nd", "/auth/jwt/login", "/api/fetch/foo/a.b2nd"]


@pytest.mark.parametrize("taken", ["pickled", "pinned"])
def test_handle_of_a_version_that_is_gone_reads_no_other(script: Script, taken: str) -> None:
    array: Any = caterva2.Client(script.url).get("foo/a.b2nd")
    other = array.pinned() if taken == "pinned" else pickle.loads(cloudpickle.dumps(array))
    np.testing.assert_array_equal(other[...], VALUES)
    script.answer = lambda received: answer(received, "v2")
    with pytest.raises(caterva2.StaleVersion, match=r"foo/a\.b2nd has changed: .* version v1 only"):
        _ = other[...]
    np.testing.assert_array_equal(array[...], VALUES)  # that of a path goes on
    other.refresh()
    np.testing.assert_array_equal(other[...], VALUES)


def test_pinned_handle_says_that_its_array_has_shrunk_or_is_gone(script: Script) -> None:
    array: Any = caterva2.Client(script.url).get("foo/a.b2nd").pinned()
    gone = refusal(400, "bad-selection")
    script.answer = lambda received: gone if "fetch" in received.path else answer(received, "v2")
    with pytest.raises(caterva2.StaleVersion, match="version v1 only"):
        _ = array[5]
    script.answer = lambda received: gone if "fetch" in received.path else answer(received)
    with pytest.raises(caterva2.BadKey, match="bad-selection"):
        _ = array[5]
    script.answer = lambda received: refusal(404, "not-found")
    with pytest.raises(caterva2.Missing):
        _ = array[5]


def test_copy_in_this_process_keeps_the_login(script: Script) -> None:
    client = caterva2.Client(script.url, auth=("ada@example.org", PASSWORD))
    array: Any = client.get("foo/a.b2nd")
    for copied in (copy.copy(array), copy.deepcopy(array)):
        np.testing.assert_array_equal(copied[...], VALUES)
    script.answer = lambda received: answer(received, "v2")
    np.testing.assert_array_equal(copied[...], VALUES)  # and is no more pinned than the first


def test_token_for_dask_is_that_of_the_version(script: Script) -> None:
    first: Any = caterva2.Client(script.url).get("foo/a.b2nd")
    second: Any = pickle.loads(pickle.dumps(caterva2.Client(script.url).get("foo/a.b2nd")))
    assert first.__dask_tokenize__() == second.__dask_tokenize__()
    assert first.__dask_tokenize__() == ("Dataset", script.url, "foo/a.b2nd", "v1")
    field = caterva2.Field(first, "x").__dask_tokenize__()
    assert field == caterva2.Field(second, "x").__dask_tokenize__() != first.__dask_tokenize__()
    changed = caterva2.Dataset(first._client, "foo/a.b2nd", INFO | {"etag": "v2"})
    assert changed.__dask_tokenize__() != first.__dask_tokenize__()


def test_end_of_the_interpreter_is_silent(script: Script) -> None:
    kept = (
        "os.kept = client",  # lives until the modules are gone
        "os.array = caterva2.Client(url).get('foo/a.b2nd')",
        "loop = [caterva2.Client(url)]; loop.append(loop)",  # is collected, not counted down
        "loop[0].get_info('foo/a.b2nd')",
    )
    program = f"import os, caterva2; url = {script.url!r}; client = caterva2.Client(url); " + (
        f"client.get_info('foo/a.b2nd'); {'; '.join(kept)}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
