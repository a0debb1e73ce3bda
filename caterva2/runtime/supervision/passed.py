"""Sockets that a supervisor has bound for a service, and passed to it."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import MutableMapping

from caterva2.errors import StartError

_FIRST = 3
"""Descriptor of the first socket that is passed."""
_NAMES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


def listener(environ: MutableMapping[str, str]) -> socket.socket | None:
    """Return the socket that was passed to this process; None if there is none.

    The variables about it are removed from the environment: they are not for children.

    Raises
    ------
    StartError
        If there are several, or it does not listen for streams.
    """
    count, pid, _ = (environ.pop(name, "") for name in _NAMES)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdecimal()) or count == "0":
        return None
    if int(count) != 1:
        raise StartError(f"{count} sockets were passed (LISTEN_FDS): HTTP is served on one")
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.fstat(_FIRST).st_mode):
            return _adopted(_FIRST)
    raise StartError(f"descriptor {_FIRST} is no socket, as LISTEN_FDS says")


def _adopted(descriptor: int) -> socket.socket:
    made = socket.socket(fileno=descriptor)
    made.set_inheritable(False)
    known = made.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    listens = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not known or made.type != socket.SOCK_STREAM or not listens:
        made.close()
        raise StartError("the socket that was passed does not listen for streams")
    return made


def address_of(listening: socket.socket) -> str:
    """Return the address of a socket as settings have it: HOST:PORT or a path."""
    name = listening.getsockname()
    if not isinstance(name, tuple):
        return os.fsdecode(name) or "/"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
