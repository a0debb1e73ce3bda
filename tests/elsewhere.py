"""A Python in which our modules find nothing that only some systems have.

Importing it changes what modules of the package that are imported from then on get: the standard
library and other packages work as before, as on a system that has their own ways.
"""

from __future__ import annotations

import builtins
import ctypes
import types
from collections.abc import Mapping, Sequence
from typing import Any

MODULES = {"curses", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {
    "asyncio": "open_unix_connection start_unix_server",
    "os": "O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC O_TMPFILE "
    "RWF_NOWAIT chown copy_file_range eventfd fchmod fchown fork forkpty fstatvfs getegid geteuid "
    "getgid getloadavg getpgid getuid getxattr killpg lchown memfd_create mkfifo nice openpty "
    "pipe2 posix_fadvise posix_fallocate posix_spawn posix_spawnp pread preadv pwrite pwritev "
    "readv register_at_fork sched_getaffinity sendfile setsid statvfs sysconf uname writev WNOHANG",
    "select": "EPOLLIN POLLIN epoll kqueue poll",
    "signal": "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 "
    "SIGUSR2 SIGWINCH alarm pause pthread_kill pthread_sigmask setitimer siginterrupt sigwait",
    "socket": "AF_NETLINK AF_UNIX MSG_DONTWAIT SCM_RIGHTS SO_PEERCRED SO_REUSEPORT TCP_QUICKACK "
    "TCP_USER_TIMEOUT recv_fds send_fds",
    "time": "CLOCK_MONOTONIC clock_gettime pthread_getcpuclockid tzset",
}


class Elsewhere(types.ModuleType):
    """A module without some of its names."""

    def __init__(self, found: types.ModuleType, missing: set[str]) -> None:
        super().__init__(found.__name__)
        self.__dict__.update(_found=found, _missing=missing)

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} elsewhere")
        return getattr(self._found, name)


LINUX = {
    "os": "EFD_CLOEXEC EFD_NONBLOCK MFD_CLOEXEC O_DIRECT O_PATH O_TMPFILE RWF_NOWAIT "
    "copy_file_range eventfd eventfd_write fdatasync memfd_create pidfd_open pipe2 "
    "posix_fadvise posix_fallocate sched_getaffinity sched_setaffinity splice",
    "select": "EPOLLIN epoll",
    "signal": "SIGRTMAX SIGRTMIN pidfd_send_signal sigtimedwait sigwaitinfo",
    "socket": "AF_NETLINK AF_PACKET SO_PEERCRED TCP_INFO TCP_QUICKACK TCP_USER_TIMEOUT",
    "time": "CLOCK_BOOTTIME",
}
"""Names that Linux has, and other systems of its kin have not."""
_import = builtins.__import__
_made: dict[str, Elsewhere] = {}


def imported(
    name: str,
    globals: Mapping[str, object] | None = None,  # noqa: A002 - as the original calls them
    locals: Mapping[str, object] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> types.ModuleType:
    """Import a module, or for a module of the package what other systems have of it."""
    importer = str((globals or {}).get("__name__", "")).partition(".")[0]
    if level or importer != "caterva2":
        return _import(name, globals, locals, fromlist or (), level)
    if name in MODULES:
        raise ModuleNotFoundError(f"No module named {name!r} elsewhere", name=name)
    found = _import(name, globals, locals, fromlist or (), level)
    if name not in NAMES:
        return found
    return _made.setdefault(name, Elsewhere(found, set(NAMES[name].split())))


class _Library(ctypes.CDLL):
    """A library without the functions of Linux's own."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("inotify_") or name in ("mallopt", "prctl"):
            raise AttributeError(name)
        return super().__getattr__(name)


def be_no_linux() -> None:
    """Let modules that are imported from now on miss only what Linux alone has."""
    MODULES.clear()
    NAMES.clear()
    NAMES.update(LINUX)
    ctypes.CDLL = _Library  # type: ignore[misc]


builtins.__import__ = imported
