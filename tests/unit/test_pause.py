"""Pauses of changes of special roots by a backup in another process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from pathlib import Path

import pytest

from caterva2.errors import Busy
from caterva2.special import pause as pause_module
from caterva2.special.pause import Pause


def test_a_change_waits_for_a_pause_as_long_as_it_may(tmp_path: Path) -> None:
    async def main() -> None:
        pause, done = Pause(tmp_path), asyncio.Event()

        async def change() -> None:
            async with pause.none():
                done.set()

        with pause.held():
            with pytest.raises(Busy, match="backed up"):
                async with Pause(tmp_path, 0.05).none():
                    pass
            waiting = asyncio.create_task(change())
            await asyncio.sleep(0.05)  # it is observed that nothing happens
            assert not done.is_set()
        await waiting

    asyncio.run(main())


def test_a_pause_waits_for_changes_that_began_before_and_for_none_that_follow(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        pause = Pause(tmp_path)
        async with contextlib.AsyncExitStack() as former:
            await former.enter_async_context(pause.none())
            with pytest.raises(Busy, match="do not end"), Pause(tmp_path, 0.05).held():
                pass
            held = asyncio.create_task(asyncio.to_thread(hold, pause))
            async with asyncio.timeout(20):
                while await overtakes(tmp_path):
                    pass
            assert not held.done()
        await held

    asyncio.run(main())


def hold(pause: Pause) -> None:
    with pause.held():
        pass


async def overtakes(statedir: Path) -> bool:
    """Whether a change begins now, beside the one under way."""
    with contextlib.suppress(Busy):
        async with Pause(statedir, 0.0).none():
            return True
    return False


def test_a_change_that_is_cancelled_while_it_waits_leaves_no_lock(tmp_path: Path) -> None:
    async def main() -> None:
        pause = Pause(tmp_path, 5)

        async def change() -> None:
            async with pause.none():
                await asyncio.Event().wait()

        for pauses in (0, 0.03):
            with pause.held() if pauses else contextlib.nullcontext():
                task = asyncio.create_task(change())
                await asyncio.sleep(pauses)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        with pause.held():
            pass

    asyncio.run(main())


def test_a_pause_by_an_administrator_leaves_locks_that_the_service_can_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    for _ in range(2):
        with Pause(tmp_path).held():
            pass
    status = tmp_path.stat()
    assert given == [(status.st_uid, status.st_gid)] * 2  # once for each of the two


def test_locks_are_those_of_a_writer_as_nfs_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def of_nfs(file: int, how: int) -> None:
        if how & fcntl.LOCK_EX and not fcntl.fcntl(file, fcntl.F_GETFL) & os.O_RDWR:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(file, how)

    monkeypatch.setattr(pause_module.fcntl, "flock", of_nfs)
    for _ in range(2):  # where the files are missing, and where they are there
        hold(Pause(tmp_path))
    _make_read_only(monkeypatch)
    with pytest.raises(OSError, match=r"can't be locked.*pause\.lock"):
        hold(Pause(tmp_path))


def test_a_directory_that_can_not_be_written_needs_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_read_only(monkeypatch)
    hold(Pause(tmp_path))
    assert not list(tmp_path.iterdir())


def _make_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refusing(path: Path, flags: int, *given: int) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(path, flags, *given)

    monkeypatch.setattr(pause_module.os, "open", refusing)
