"""A supervisor of services in tests: the socket that these notify, and what arrives there."""

from __future__ import annotations

import os
import select
import socket
import time
from pathlib import Path

LARGEST = 4096
WATCHDOG_S = 2.0


class Listener:
    """A datagram socket that counts what each process says.

    Parameters
    ----------
    address : Path or str
        A path, or ``@`` and an abstract name.
    """

    def __init__(self, address: Path | str) -> None:
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = self.address
        self._socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.setblocking(False)
        self.notices: dict[int, list[str]] = {}
        """The lines of all datagrams, by process."""

    def environment(self, watchdog: float = WATCHDOG_S) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(watchdog * 1e6))}

    def receive(self, timeout: float = 0.0) -> None:
        """Take what has arrived, after waiting for some."""
        select.select([self._socket], [], [], timeout)
        while True:
            try:
                data, extra, _, _ = self._socket.recvmsg(LARGEST, socket.CMSG_SPACE(12))
            except BlockingIOError:
                return
            pid = int.from_bytes(extra[0][2][:4], "little")
            self.notices.setdefault(pid, []).extend(data.decode().splitlines())

    def lines(self, pid: int | None = None) -> list[str]:
        """Return what a process has said up to now, this one by default."""
        self.receive()
        return self.notices.get(os.getpid() if pid is None else pid, [])

    def wait(self, line: str, pid: int | None = None, *, after: int = 0) -> int:
        """Wait until a process says a line; return how many it had said then."""
        until = time.monotonic() + 20
        while line not in self.lines(pid)[after:]:
            assert time.monotonic() < until, (line, self.lines(pid))
            self.receive(0.2)
        return self.lines(pid).index(line, after) + 1

    def close(self) -> None:
        self._socket.close()
