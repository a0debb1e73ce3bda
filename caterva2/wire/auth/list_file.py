"""The file of an allow list: changed by one program at a time, and read again when it changes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from caterva2.errors import CatervaError, ConfigError, StartError
from caterva2.runtime import durable
from caterva2.wire.auth.allow_list import LIST_BYTES, AllowList
from caterva2.wire.auth.policy import Grant

log = logging.getLogger(__name__)
FILE = "allowed"
"""In the state directory of a service, where the settings name no other."""
LOOK_S = 0.25
"""Seconds between two looks at the file: what is revoked ends after two of them."""
_HEAD = "# NAME KEY ROLE ROOTS; see docs/security.md\n"
Signature = tuple[int, int, int, int]


def read(path: Path) -> str | None:
    """Return the text of a list; None if there is no file.

    Raises
    ------
    StartError
        If it can't be read, or others may write it: they could admit themselves.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            mode = stat.S_IMODE(status.st_mode)
            if not stat.S_ISREG(status.st_mode):
                raise StartError(f"allow list {path} is not a file")
            if mode & 0o022:
                raise StartError(
                    f"allow list {path} has mode {mode:04o}, so others can change it:"
                    f" chmod go-w {path}"
                )
            data = file.read(LIST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(f"allow list {path} can't be read: {error.strerror}") from None
    if len(data) > LIST_BYTES:
        raise StartError(f"allow list {path} has more than {LIST_BYTES} bytes")
    return data.decode(errors="replace")


def change(path: Path, edit: Callable[[str], str]) -> None:
    """Replace the text of a list, which is made if there is none, by a function of it.

    Of a link it is the file that it stands for, which others may follow.

    Raises
    ------
    StartError
        If it can't be read, or has become too long.
    OSError
        If it can't be written; it is as before then.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        before = read(path)
        after = edit(_HEAD if before is None else before).encode()
        if len(after) > LIST_BYTES:
            raise StartError(f"allow list {path} would have more than {LIST_BYTES} bytes")
        durable.write(path, after, 0o644)  # no secret, and services may run as other users


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class FollowedList:
    """The allow list in force, as an `Authenticator`.

    Parameters
    ----------
    path : Path

    Raises
    ------
    StartError
        If it is not there or can't be read.
    ConfigError
        If a line is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._pending = _signature(path)
        text = read(path)
        if text is None:
            raise StartError(f"allow list {path} is not there: cat2keys allow {path} ... makes it")
        self._list = AllowList.parse(text)
        if self._list.problems:
            raise ConfigError(f"{path}: {self._list.problems[0]}")

    def grant(self, key: str) -> Grant | None:
        """Return the rights of a key, or None if it is not admitted."""
        return self._list.grant(key)

    def holder(self, key: str) -> str:
        """Return the name of a key's holder; empty if it has none."""
        return self._list.holder(key)

    def keys_of(self, holder: str) -> list[str]:
        """Return the keys of a name."""
        return [key for key, grant in self._list.grants.items() if grant.name == holder]

    async def follow(self, on_change: Callable[[], None]) -> None:
        """Read the file again whenever it changes, until cancelled.

        Parameters
        ----------
        on_change : callable
            Called on the loop when another list is in force.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            if await asyncio.to_thread(self.look):
                on_change()

    def look(self) -> bool:
        """Read the file if it changed; return whether another list is in force. Blocks.

        A file that was replaced is complete. One that is written in place may not be, so it
        counts when it is as at the last look.
        """
        now = _signature(self.path)
        if now == self._known:
            return False
        replaced = now is not None and (self._known is None or now[0] != self._known[0])
        if not replaced and now != self._pending:
            self._pending = now
            return False
        self._known = self._pending = now
        return self._reload()

    def _reload(self) -> bool:
        try:
            text = read(self.path)
        except CatervaError as error:
            log.error("the list of before stays in force: %s", error)
            return False
        if text is None:
            log.error("allow list %s is gone: the list of before stays in force", self.path)
            return False
        before, self._list = self._list, AllowList.parse(text)
        for problem in self._list.problems:
            log.error("%s: %s; the line admits nobody", self.path, problem)
        log.info("%s has changed: it admits %d keys", self.path, len(self._list.grants))
        return before.grants != self._list.grants


def _signature(path: Path) -> Signature | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
