"""Pauses of all changes of names in the special roots, for another process that copies them.

A change is one rename, or a few, of what was written before. Each holds `CHANGES` shared, and a
pause holds it exclusively. A pause holds `WISH` from before that: changes that begin later wait
for it, so that it needs to wait for those that are under way only, however many follow each other.
The system gives up both locks of a process that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import functools
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from caterva2.errors import Busy
from caterva2.runtime.uncancellable import in_thread

CHANGES, WISH = "changes.lock", "pause.lock"
"""Files in the state directory; there is nothing in them."""
WAIT = 30.0
"""Seconds after which a change gives up that waits for a pause, or a pause for changes."""
_WRITABLE = "it can't be locked: mount it for writing, or run this where its service runs"
_LOOK = 0.02
"""Seconds between two attempts to get a lock."""


class Pause:
    """The locks in a state directory.

    Parameters
    ----------
    statedir : Path
    wait : float
        Seconds for which a change waits for a pause, and a pause for changes under way.
    """

    def __init__(self, statedir: Path, wait: float = WAIT) -> None:
        self._wait = wait
        self._changes, self._wish = statedir / CHANGES, statedir / WISH

    @contextlib.asynccontextmanager
    async def none(self) -> AsyncIterator[None]:
        """Wait until there is no pause, and begin none while the block runs.

        A task must not enter it twice: the second time would wait for a pause that waits for it.

        Raises
        ------
        Busy
            If a pause takes too long.
        """
        until = time.monotonic() + self._wait
        with contextlib.ExitStack() as lock:
            while not await in_thread(functools.partial(self._begin, lock)):
                if time.monotonic() > until:
                    raise Busy("special roots are being backed up", after_ms=2000)
                await asyncio.sleep(_LOOK)
            yield

    def _begin(self, lock: contextlib.ExitStack) -> bool:
        with contextlib.ExitStack() as wish:
            return _lock(wish, self._wish, fcntl.LOCK_SH) and _lock(
                lock, self._changes, fcntl.LOCK_SH
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Pause changes by all processes while the block runs. Blocks.

        Raises
        ------
        Busy
            If changes under way, or another pause, do not end in time.
        """
        until = time.monotonic() + self._wait
        with contextlib.ExitStack() as locks:
            for path in (self._wish, self._changes):
                while not _lock(locks, path, fcntl.LOCK_EX):
                    if time.monotonic() > until:
                        raise Busy("changes of special roots do not end: try again later")
                    time.sleep(_LOOK)
            yield


def _lock(locks: contextlib.ExitStack, path: Path, how: int) -> bool:
    """Lock a file until the stack is left; return False if another lock is in the way.

    Where files can't be written, the lock is that of a reader; a missing file needs none, since
    nothing changes.
    """
    try:
        file = _opened(path)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        if not path.exists():
            return True
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    except BaseException as error:
        os.close(file)
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            raise OSError(error.errno, _WRITABLE, str(path)) from None
        raise
    locks.callback(os.close, file)
    return True


def _opened(path: Path) -> int:
    """Open a file, which is made if it is missing, for the service to open it too.

    For writing: NFS gives an exclusive lock to no other.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, flags)
    file = os.open(path, flags | os.O_CREAT, 0o600)
    if os.geteuid() == 0:  # an administrator makes a backup
        of = os.stat(path.parent)
        os.fchown(file, of.st_uid, of.st_gid)
    return file
