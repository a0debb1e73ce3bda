"""Programs that read Zarr while arrays change, go or are hidden: errors, and never fill values"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.conftest import HASTY, Stack, eventually
from tests.thoroughness import thorough
from tests.web import zarrclients
from tests.web.asking import ask
from tests.web.test_zarr_versions import CELLS, versions, write
from tests.web.zarrprograms import GdalArray, zarrita

Read = Callable[[Any], Any]
FIRST, SECOND = np.s_[0:20, 0:50], np.s_[20:40, 0:50]
MIDDLE, LAST = np.s_[200:220, 0:50], np.s_[380:400, 250:300]


def by_fsspec(stack: Stack, place: str) -> Read:
    return zarr.open_array(f"{stack.url}/zarr/{place}", mode="r").__getitem__


def by_obstore(stack: Stack, place: str) -> Read:
    return zarr.open_array(zarrclients.obstored(stack, place), mode="r").__getitem__


def by_zarrs(stack: Stack, place: str) -> Read:
    pipeline = {"path": "zarrs.ZarrsCodecPipeline", "strict": True}  # no other reads instead
    with zarr.config.set({f"codec_pipeline.{name}": value for name, value in pipeline.items()}):
        return by_obstore(stack, place)


def by_tensorstore(stack: Stack, place: str) -> Read:
    array = zarrclients.opened_by_tensorstore(stack, place)
    return lambda region: array[region].read().result()


def by_gdal(stack: Stack, place: str) -> Read:
    return GdalArray(stack, place).__getitem__


def by_zarrita(stack: Stack, place: str) -> Read:
    url = f"{stack.url}/zarr/{place}"
    return lambda region: np.frombuffer(zarrita(stack).read(url, region), np.float64)


Open = Callable[[Stack, str], Read]
EVERY_DAY: list[Open] = [by_fsspec, by_obstore]
PROGRAMS: list[Open] = [*EVERY_DAY, by_zarrs, by_tensorstore, by_gdal, by_zarrita]


def fails(read: Read, region: Any) -> bool:
    """Read a region; return whether that fails. What is read must never be made up."""
    try:
        values = read(region)
    except Exception:  # noqa: BLE001 - those of several programs
        return True
    assert values.size == 1000
    assert versions(values) <= {1, 2}
    return False


class Reading:
    """A program that reads the beginning of an array again and again, in a thread.

    Meanwhile no other thread may use what it has opened: GDAL mixes their values. It reads two
    blocks in turns, since GDAL gives anything for a block that it failed to read just before.
    """

    def __init__(self, read: Read) -> None:
        self.count, self.wrong = 0, ""
        self._read = read
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(0.01):
            try:
                fails(self._read, (FIRST, SECOND)[self.count % 2])
            except AssertionError as error:
                self.wrong = f"{self._read}: {error}"
            self.count += 1

    def more(self) -> None:
        """Wait until it has begun and ended another read."""
        count = self.count
        eventually(lambda: self.count >= count + 2, 60)

    def end(self) -> None:
        self._end.set()
        self._thread.join()
        assert not self.wrong


@contextlib.contextmanager
def read_meanwhile(reads: list[Read]) -> Iterator[None]:
    """Read before something happens, meanwhile and afterwards."""
    with contextlib.ExitStack() as stack:
        running = [Reading(read) for read in reads]
        for one in running:
            stack.callback(one.end)
        for one in running:
            one.more()
        yield
        for one in running:
            one.more()


class World:
    """A root with arrays that a test replaces, removes and hides."""

    def __init__(self, stack: Stack, root: Path) -> None:
        self.stack, self.root = stack, root
        root.mkdir()
        write(root, 1)
        for name in "bc":
            (root / f"{name}.b2nd").write_bytes((root / "a.b2nd").read_bytes())
        self._settings = stack.directory / "caterva2.toml"
        stack.secret = "keeps sessions"
        self._settings.write_text(HASTY + '[subscriber]\nread = "public"\n')
        self.client = stack.start(foo=root)
        eventually(lambda: len(self.client.get_list("foo")) == 3)

    def replace(self) -> None:
        etag = self.client.get_info("foo/a.b2nd")["etag"]
        write(self.root, 2)
        eventually(lambda: self.client.get_info("foo/a.b2nd")["etag"] != etag)

    def remove(self) -> None:
        (self.root / "b.b2nd").unlink()
        eventually(lambda: len(self.client.get_list("foo")) == 2)
        assert ask(self.stack, "zarr/foo/b/c/3/0").status == 410
        assert ask(self.stack, "zarr2/foo/b/19.5", **{"User-Agent": "curl/8"}).status == 410
        assert ask(self.stack, "zarr/foo/b/zarr.json").status == 404
        for key in ("foo/b/19.5", "nope/b/19.5", "foo@/b/0.0"):  # zeros for GDAL, were it an error
            content = ask(self.stack, f"zarr2/{key}", **{"User-Agent": "GDAL/3.10.3"})
            assert (content.status, content.body) == (200, b"\0")
            assert content.headers["cache-control"] == "no-store"

    def hide(self) -> None:
        self.readable_by("users", 404)
        hidden, unknown = ask(self.stack, "zarr/foo/c/c/2/0"), ask(self.stack, "zarr/nope/c/c/2/0")
        assert hidden.status == unknown.status == 410
        assert hidden.body.replace(b"foo", b"nope") == unknown.body

    def readable_by(self, whom: str, status: int) -> None:
        self._settings.write_text(f'{HASTY}[subscriber]\nread = "{whom}"\n')
        self.stack.children["sub"].process.send_signal(signal.SIGHUP)
        eventually(lambda: ask(self.stack, "zarr2/foo/c/.zarray").status == status)

    def end_publisher(self) -> None:
        self.stack.kill("pub-foo")
        eventually(lambda: ask(self.stack, "zarr2/foo/c/19.5").status == 503, 60)
        missing = ask(self.stack, "zarr/foo/c/c/3/2")
        assert (missing.status, missing.json["name"]) == (503, "root-offline")
        assert missing.headers["retry-after"] > ""
        eventually(lambda: "warning" in ask(self.stack, "zarr/foo/c/c/0/0").headers)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(600)  # where slow tests are selected, node's packages are installed
def test_programs_read_no_fill_values(stack: Stack, tmp_path: Path) -> None:
    world = World(stack, tmp_path / "root")
    programs = PROGRAMS if thorough() else EVERY_DAY
    a, b, c = ([one(stack, f"foo/{name}") for one in programs] for name in "abc")
    expected = (np.arange(np.prod(CELLS)).reshape(CELLS) * 10.0 + 1)[FIRST].ravel()
    for read in (*a, *b, *c):
        np.testing.assert_array_equal(read(FIRST).ravel(), expected)
    with read_meanwhile(a):
        world.replace()
    for read, one in zip(a, programs, strict=True):
        fails(read, LAST)
        assert not fails(one(stack, "foo/a"), MIDDLE)
    with read_meanwhile(b):
        world.remove()
    assert all(fails(read, region) for read in b for region in (MIDDLE, LAST))
    with read_meanwhile(c):
        world.hide()
    assert all(fails(read, MIDDLE) for read in c)
    with read_meanwhile(c):
        world.readable_by("public", 200)
    assert not any(fails(read, np.s_[100:120, 0:50]) for read in c)
    with read_meanwhile(c):
        world.end_publisher()
    assert all(fails(read, LAST) for read in c)
    assert not any(fails(read, FIRST) for read in c)
    c = [read for read, one in zip(c, programs, strict=True) if one is not by_gdal]  # zeros
    with read_meanwhile(c):
        stack.kill("sub")
    assert all(fails(read, FIRST) for read in c)
