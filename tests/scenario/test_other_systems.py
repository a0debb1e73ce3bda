"""Services run where the system has nothing that only Linux has"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from caterva2.runtime import durable
from caterva2.sources.directory import inotify
from caterva2.sources.directory.source import DirectorySource
from caterva2.sources.watcher import Watcher
from tests.conftest import Stack, eventually, example_root

PROGRAM = """
from tests import elsewhere
elsewhere.be_no_linux()
import sys
from caterva2.cli import launch
from caterva2.runtime import durable
durable._DESCRIPTORS = "/dev/fd"
sys.exit(getattr(launch, sys.argv.pop(1))())
"""


def spawn(
    command: str,
    arguments: list[str],
    errors: IO[bytes],
    cwd: Path | None,
    env: dict[str, str] | None,
) -> subprocess.Popen[bytes]:
    """Run a command as on such a system."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, command, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
        cwd=cwd, env=(env or os.environ) | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path, spawn)
    yield made
    made.stop_all()


@pytest.mark.slow
def test_a_site_serves_reads_and_follows_changes(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    for path in example_root().glob("*.*"):
        (source / path.name).write_bytes(path.read_bytes())
    client = stack.start(foo=source)
    assert client.fetch("foo/ds-1d.b2nd", 5) == 5
    array = client.get("foo/ds-1d.b2nd")
    assert (array[:1000] == range(1000)).all()
    (source / "new.txt").write_text("new")
    eventually(lambda: "new.txt" in {str(path) for path in client.get_list("foo")}, 60)
    assert client.fetch("foo/ds-1d.b2nd", slice(-3, None))[-1] == 999
    assert "this system has no inotify" in stack.log("pub-foo")
    for name, child in stack.children.items():
        assert child.process.poll() is None, name
        assert "Traceback" not in stack.log(name), stack.log(name)


class NoLibrary:
    """A library of a system that has none of the functions."""


def test_without_inotify_a_directory_is_scanned_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Watcher(DirectorySource(tmp_path), 0.1) as watcher:
            for _ in range(3):
                async with asyncio.timeout(20):
                    assert await watcher.scopes() == [""]

    monkeypatch.setattr(inotify.ctypes, "CDLL", lambda *_, **__: NoLibrary())
    asyncio.run(main())
    assert caplog.text.count("this system has no inotify") == 1


def test_files_are_copied_reserved_and_unnamed_without_calls_of_linux(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("copy_file_range", "posix_fallocate", "memfd_create"):
        monkeypatch.delattr(os, name)
    (tmp_path / "a").write_bytes(b"0123456789")
    with (tmp_path / "a").open("r+b") as one, (tmp_path / "b").open("w+b") as two:
        durable.copy(one.fileno(), 3, two.fileno(), 0, 4)
        durable.reserve(two.fileno(), 6)
        assert (tmp_path / "b").read_bytes() == b"3456\0\0"
    unnamed = durable.unnamed("x")
    try:
        os.write(unnamed, b"some")
        assert os.pread(unnamed, 9, 0) == b"some"
        assert durable.path_of(unnamed).read_bytes() == b"some"
    finally:
        os.close(unnamed)
