"""Downloads: resumed where they broke, and in place only when they are complete and right."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from caterva2.client import Client
from caterva2.client.errors import Unreachable
from caterva2.errors import Busy, Damaged, StaleVersion
from caterva2.limits import ClientLimits
from tests.httpscript import Received, Reply, Script, serving
from tests.unit.samples import array_frame

FRAME = array_frame(np.random.default_rng(0).random(20_000), chunks=(5000,))
INFO = {"kind": "array", "shape": [20_000], "dtype": "float64", "etag": "v1", "schunk": {}}


def hasty(script: Script) -> Client:
    return Client(script.url, limits=ClientLimits(download_pause=0.001))


class Subscriber:
    """Serves a file by ranges, and breaks off as a test likes."""

    def __init__(self) -> None:
        self.content = FRAME
        self.info = dict(INFO)
        self.etag = '"v1-a"'
        self.ranged = True
        self.break_after: list[int] = []
        """Bytes after which the next downloads break off."""

    def __call__(self, asked: Received) -> Reply:
        if asked.path.startswith("/api/info/"):
            return Reply(body=json.dumps(self.info).encode())
        ranges = {"Accept-Ranges": "bytes"} if self.ranged else {}
        reply = Reply(body=self.content, headers={"ETag": self.etag} | ranges)
        wanted = re.match(r"bytes=(\d+)-", asked.headers.get("Range", ""))
        if wanted and asked.headers.get("If-Range") == self.etag:
            start = int(wanted[1])
            reply.status, reply.body = 206, self.content[start:]
            last = len(self.content) - 1
            reply.headers["Content-Range"] = f"bytes {start}-{last}/{last + 1}"
        reply.sent = self.break_after.pop(0) if self.break_after else None
        return reply


@pytest.fixture
def subscriber() -> Subscriber:
    return Subscriber()


@pytest.fixture
def script(subscriber: Subscriber) -> Iterator[Script]:
    with serving(subscriber) as made:
        yield made


def ranges(script: Script) -> list[str | None]:
    """What of the file was asked for, each time."""
    return [a.headers.get("Range") for a in script.asked if "/download/" in a.path]


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_download_goes_on_by_itself_where_it_broke_off(
    subscriber: Subscriber, script: Script, tmp_path: Path
) -> None:
    subscriber.break_after = [1000, 500]
    seen: list[int] = []
    saved = hasty(script).download(
        "foo/a.b2nd", tmp_path / "a.b2nd", lambda done, total: seen.append(done)
    )
    assert saved.read_bytes() == FRAME
    assert ranges(script) == [None, "bytes=1000-", "bytes=1500-"]
    assert (seen[0], seen[-1]) == (0, len(FRAME))
    assert left(tmp_path) == ["a.b2nd"]


def test_next_download_goes_on_where_the_last_gave_up(
    subscriber: Subscriber, script: Script, tmp_path: Path
) -> None:
    subscriber.break_after = [700, 0, 0, 0, 0]
    with pytest.raises(Unreachable):
        hasty(script).download("foo/a.b2nd", tmp_path / "a.b2nd")
    assert left(tmp_path) == [".a.b2nd.part", ".a.b2nd.part.etag"]
    script.asked.clear()
    assert hasty(script).download("foo/a.b2nd", tmp_path / "a.b2nd").read_bytes() == FRAME
    assert ranges(script) == ["bytes=700-"]


def test_download_gives_up_after_the_tries_of_the_limits(
    subscriber: Subscriber, script: Script, tmp_path: Path
) -> None:
    subscriber.break_after = [0] * 10
    client = Client(script.url, limits=ClientLimits(tries=2, download_pause=0.001))
    with pytest.raises(Unreachable):
        client.download("foo/a.b2nd", tmp_path / "a.b2nd")
    assert len(ranges(script)) == 2


def test_changed_version_starts_over(
    subscriber: Subscriber, script: Script, tmp_path: Path
) -> None:
    (tmp_path / ".a.b2nd.part").write_bytes(b"old" * 100)
    (tmp_path / ".a.b2nd.part.etag").write_text('"v0-a"')
    assert hasty(script).download("foo/a.b2nd", tmp_path / "a.b2nd").read_bytes() == FRAME
    assert ranges(script) == ["bytes=300-"]


def test_server_without_ranges_is_asked_for_everything_again(
    subscriber: Subscriber, script: Script, tmp_path: Path
) -> None:
    subscriber.ranged = False
    subscriber.break_after = [1000]
    assert hasty(script).download("foo/a.b2nd", tmp_path / "a.b2nd").read_bytes() == FRAME
    assert ranges(script) == [None, None]


def test_version_that_info_does_not_know_is_not_kept(
    subscriber: Subscriber, script: Script, tmp_path: Path
) -> None:
    subscriber.etag = '"v2-a"'
    with pytest.raises(StaleVersion):
        hasty(script).download("foo/a.b2nd", tmp_path / "a.b2nd")
    assert not (tmp_path / "a.b2nd").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"content": FRAME[:-100]},
        {"content": b"noise" * 1000},
        {"info": INFO | {"shape": [5]}},
        {"info": INFO | {"dtype": "int64"}},
        {"info": INFO | {"kind": "file", "nbytes": 5}},
    ],
)
def test_what_info_does_not_tell_of_is_refused(
    subscriber: Subscriber, script: Script, tmp_path: Path, change: dict[str, object]
) -> None:
    vars(subscriber).update(change)
    (tmp_path / "a.b2nd").write_text("what was there before")
    with pytest.raises(Damaged, match=r"foo/a\.b2nd"):
        hasty(script).download("foo/a.b2nd", tmp_path / "a.b2nd")
    assert (tmp_path / "a.b2nd").read_text() == "what was there before"


def test_two_downloads_to_one_place_do_not_mix(script: Script, tmp_path: Path) -> None:
    with (tmp_path / ".a.b2nd.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another process is downloading"):
            hasty(script).download("foo/a.b2nd", tmp_path / "a.b2nd")
    assert hasty(script).download("foo/a.b2nd", tmp_path / "a.b2nd").read_bytes() == FRAME


def test_full_disk_is_not_taken_for_a_broken_connection(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("caterva2.client.read.download.os.write", full)
    with pytest.raises(OSError, match="No space left"):
        hasty(script).download("foo/a.b2nd", tmp_path / "a.b2nd")
    assert ranges(script) == [None]
