"""Client and its objects over a transport in memory: what they request, and when again."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import numpy as np
import pytest
import samples

import caterva2
from caterva2.client.client import Client
from caterva2.client.exports import ArrayExports
from caterva2.client.read import frames
from caterva2.errors import BadName, StaleVersion
from caterva2.frames.chunk import HEADER
from caterva2.limits import ClientLimits
from caterva2.rest import stream
from tests.httpscript import Received, Reply, refusal
from tests.memorytransport import MemoryTransport

STREAM = "Content_Type", stream.MEDIA_TYPE


class Subscriber:
    """Serves one array, ``foo/a.b2nd``, whose version may change with each request."""

    def __init__(self) -> None:
        self.values = np.arange(60).reshape(6, 10)
        self.version = 1
        self.changes = 0
        """How many of the next reads find the dataset changed."""
        self.broken: list[Reply] = []
        """Answers to the next reads."""
        self.received: list[Received] = []
        self.damaged: dict[str, dict[str, Any]] = {}
        """Descriptions of further files."""

    def __call__(self, received: Received) -> Reply:
        self.received.append(received)
        path = received.path.partition("?")[0]
        of_other = self.damaged.get(path.partition("foo/")[2])
        if of_other and "error" in of_other:
            return Reply(status=502, body=json.dumps(of_other["error"]).encode())
        if of_other and path.startswith("/api/info"):
            return Reply(body=json.dumps(of_other).encode())
        if path.startswith("/api/chunk/"):
            return Reply(body=b"as it should be")
        if path.startswith("/api/fetch/"):
            return self._fetch()
        found: Any = {
            "/api/subscribe/foo": "Ok",
            "/api/list/foo": ["a.b2nd"],
            "/api/members/foo": {"members": {"a.b2nd": self.info(), **self.damaged}, "after": None},
            "/api/info/foo/a.b2nd": self.info(),
            "/api/info/foo/dir": {"kind": "group"},
            "/api/append/@shared/a.b2nd": [9, 10],
            "/api/move/": "@shared/b.b2nd",
        }.get(path)
        return (
            refusal(404, "not-found") if found is None else Reply(body=json.dumps(found).encode())
        )

    def info(self) -> dict[str, Any]:
        return {
            "kind": "array", "shape": self.values.shape, "chunks": [2, 10], "blocks": [1, 10],
            "dtype": "<i8", "etag": f"v{self.version}", "schunk": {"nbytes": 480, "cbytes": 100},
        }  # fmt: skip

    def _fetch(self) -> Reply:
        if self.broken:
            return self.broken.pop()
        if self.changes:
            self.changes -= 1
            self.version += 1
        head = stream.begin_values("array", self.values.shape, "<i8")
        headers = dict([STREAM, ("ETag", f'"v{self.version}"')])
        return Reply(body=head + self.values.tobytes(), headers=headers)


@pytest.fixture
def subscriber() -> Subscriber:
    return Subscriber()


@pytest.fixture
def client(subscriber: Subscriber) -> Client:
    return Client.over(MemoryTransport(subscriber))


def targets(subscriber: Subscriber) -> list[str]:
    return [f"{received.method} {received.path}" for received in subscriber.received]


def test_dataset_is_read(subscriber: Subscriber, client: Client) -> None:
    array = client.get("foo/a.b2nd")
    assert isinstance(array, caterva2.Dataset)
    np.testing.assert_array_equal(array[...], subscriber.values)
    assert targets(subscriber) == ["GET /api/info/foo/a.b2nd", "GET /api/fetch/foo/a.b2nd"]


def test_read_by_path_is_one_request(subscriber: Subscriber, client: Client) -> None:
    np.testing.assert_array_equal(client.fetch("foo/a.b2nd"), subscriber.values)
    assert targets(subscriber) == ["GET /api/fetch/foo/a.b2nd"]


@pytest.mark.parametrize(("changes", "tries"), [(1, 5), (4, 5), (1, 2)])
def test_read_starts_over_on_a_new_version(
    subscriber: Subscriber, changes: int, tries: int
) -> None:
    client = Client.over(MemoryTransport(subscriber, ClientLimits(tries=tries)))
    array: Any = client.get("foo/a.b2nd")
    subscriber.changes = changes
    np.testing.assert_array_equal(array[...], subscriber.values)
    assert array.meta["etag"] == f"v{1 + changes}"


def test_read_of_what_changes_always_ends(subscriber: Subscriber) -> None:
    client = Client.over(MemoryTransport(subscriber, ClientLimits(tries=3)))
    array: Any = client.get("foo/a.b2nd")
    subscriber.changes = 100
    with pytest.raises(StaleVersion, match=r"foo/a\.b2nd changed"):
        array[...]
    assert subscriber.changes == 100 - 3


def undecodable(subscriber: Subscriber, bad: int) -> Reply:
    """A stream of the whole array in which one chunk is right up to its header."""
    frame = samples.array_frame(subscriber.values, chunks=(2, 10), blocks=(1, 10))
    chunks = samples.raw_chunks(frame)
    chunks[bad] = chunks[bad][:HEADER] + b"\xff" * (len(chunks[bad]) - HEADER)
    info = samples.describe(frame, "a.b2nd", f"v{subscriber.version}")
    body = stream.begin_chunks(info, 4) + b"".join(stream.part(chunks))
    return Reply(body=body, headers=dict([STREAM]))


def test_chunk_that_cannot_be_decoded_is_reported_and_read_again(
    subscriber: Subscriber, client: Client
) -> None:
    array: Any = client.get("foo/a.b2nd")
    for read in (lambda: array[...], lambda: client.fetch("foo/a.b2nd")):
        subscriber.received.clear()
        subscriber.broken = [undecodable(subscriber, 1)]
        np.testing.assert_array_equal(read(), subscriber.values)
        fetch = "GET /api/fetch/foo/a.b2nd"
        assert targets(subscriber) == [fetch, "GET /api/chunk/foo/a.b2nd?nchunk=1", fetch]


def test_chunk_that_only_the_subscriber_can_decode_is_named(
    subscriber: Subscriber, client: Client
) -> None:
    subscriber.broken = [undecodable(subscriber, 2)] * 2
    with pytest.raises(caterva2.Unreachable, match=r"foo/a\.b2nd: chunk 2 can't be decoded"):
        client.fetch("foo/a.b2nd")
    assert not subscriber.broken


def test_read_by_path_starts_over_and_ends(subscriber: Subscriber) -> None:
    info = samples.describe(samples.array_frame(subscriber.values), "a.b2nd")
    stale = json.dumps({"name": "stale-version", "detail": "it changed"}).encode()
    body = stream.begin_chunks(info, 4) + stream.failure(stale)
    subscriber.broken = [Reply(body=body, headers=dict([STREAM]))] * 3
    client = Client.over(MemoryTransport(subscriber, ClientLimits(tries=3)))
    with pytest.raises(StaleVersion):
        client.fetch("foo/a.b2nd")
    assert targets(subscriber) == ["GET /api/fetch/foo/a.b2nd"] * 3
    subscriber.broken = [Reply(body=body, headers=dict([STREAM]))] * 2
    np.testing.assert_array_equal(client.fetch("foo/a.b2nd"), subscriber.values)


def test_root_opens_all_of_its_datasets_together(subscriber: Subscriber, client: Client) -> None:
    root = client.get("foo")
    assert isinstance(root, caterva2.Root)
    assert [(path, found.shape) for path, found in root.items()] == [("a.b2nd", (6, 10))]  # type: ignore[union-attr]
    assert targets(subscriber) == ["POST /api/subscribe/foo", "GET /api/members/foo"]


def damage(subscriber: Subscriber, name: str = "source-corrupt") -> None:
    """Let ``foo/b.b2nd`` be damaged."""
    error = {"detail": "foo/b.b2nd: not a frame", "code": 502, "name": name, "retry": "no"}
    subscriber.damaged = {"b.b2nd": {"error": error}}


def test_damaged_file_does_not_hide_the_others(subscriber: Subscriber, client: Client) -> None:
    damage(subscriber)
    opened = dict(client.get("foo").items())  # type: ignore[union-attr]
    assert list(opened) == ["a.b2nd", "b.b2nd"]
    np.testing.assert_array_equal(opened["a.b2nd"][...], subscriber.values)
    broken = opened["b.b2nd"]
    assert isinstance(broken, caterva2.Unreadable)
    assert (str(broken.path), broken.kind) == ("foo/b.b2nd", "unreadable")
    assert "foo/b.b2nd" in repr(broken) and "not a frame" in broken._repr_html_()
    with pytest.raises(caterva2.HttpError, match=r"502 Bad Gateway: foo/b\.b2nd: not a frame"):
        _ = broken.nbytes
    for read in (broken.fetch, broken.slice, broken.refresh, lambda: broken[:3]):
        with pytest.raises(caterva2.HttpError, match=r"502 Bad Gateway: foo/b\.b2nd: not a frame"):
            read()


def test_asynchronous_root_has_the_damaged_file_too(subscriber: Subscriber, client: Client) -> None:
    damage(subscriber)

    async def opened() -> None:
        other = caterva2.AsyncClient()
        other._client.transport = client.transport
        root: Any = await other.get("foo")
        found = dict(await root.items())
        assert isinstance(found["a.b2nd"], caterva2.AsyncDataset)
        assert found["b.b2nd"].kind == "unreadable"
        with pytest.raises(caterva2.HttpError, match="not a frame"):
            await found["b.b2nd"][:3]
        await other.close()

    asyncio.run(opened())


@pytest.mark.parametrize(
    ("name", "status"),
    [("not-found", 404), ("root-offline", 503), ("codec-not-allowed", 502), ("of-later", 502)],
)
def test_error_in_place_of_metadata_has_its_status(
    subscriber: Subscriber, client: Client, name: str, status: int
) -> None:
    damage(subscriber, name)
    [_, broken] = client.get("foo").values()  # type: ignore[union-attr]
    with pytest.raises(caterva2.HttpError) as caught:
        _ = broken.vlmeta
    assert (caught.value.status_code, caught.value.kind) == (status, name)
    assert isinstance(caught.value, caterva2.Missing) == (status == 404)


def test_file_that_was_replaced_can_be_read(subscriber: Subscriber, client: Client) -> None:
    damage(subscriber)
    [_, broken] = client.get("foo").values()  # type: ignore[union-attr]
    subscriber.damaged = {"b.b2nd": subscriber.info()}
    np.testing.assert_array_equal(broken[...], subscriber.values)


def test_directory_and_root_are_not_files(client: Client) -> None:
    with pytest.raises(BadName, match="foo/dir is a directory"):
        client.download("foo/dir")
    with pytest.raises(BadName, match="foo is a root"):
        client.download("foo")


def test_array_is_appended_as_a_frame(subscriber: Subscriber, client: Client) -> None:
    assert client.append("@shared/a.b2nd", np.arange(5)) == (9, 10)
    body = subscriber.received[-1].body
    start = body.index(b"\r\n\r\n") + 4
    frame = frames.parse(bytearray(body[start : body.rindex(b"\r\n--")]))
    np.testing.assert_array_equal(frames.decode(frame), np.arange(5))


def test_paths_to_move_are_sent_as_json(subscriber: Subscriber, client: Client) -> None:
    assert str(client.move("@shared/a.b2nd", "@shared/b.b2nd")) == "@shared/b.b2nd"
    [received] = subscriber.received
    assert json.loads(received.body) == {"src": "@shared/a.b2nd", "dst": "@shared/b.b2nd"}
    assert received.headers["Content-Type"] == "application/json"


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("blocking", "other"),
    [
        (caterva2.Client, caterva2.AsyncClient), (caterva2.File, caterva2.AsyncFile),
        (caterva2.Dataset, caterva2.AsyncDataset),
    ],
)  # fmt: skip
def test_asynchronous_classes_have_the_methods_of_the_blocking_ones(
    blocking: type, other: type
) -> None:
    assert public(blocking) - {"over"} - public(ArrayExports) == public(other)
    for name in public(other):
        method = getattr(other, name)
        if inspect.iscoroutinefunction(method):
            expected = list(inspect.signature(getattr(blocking, name)).parameters)
            assert list(inspect.signature(method).parameters) == expected
