"""Notices to a supervisor, by the datagrams of ``sd_notify``: nothing of systemd is loaded.

A datagram that the supervisor has no room for waits, in order, for the next one; a beat or a status
is dropped then. So no notice blocks, and the state that counts is not lost.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import MutableMapping
from typing import Protocol

from caterva2.runtime.printable import printable

log = logging.getLogger(__name__)
SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
"""Variables of the environment in which a supervisor says what it expects."""
_ADDRESS = 107
"""Bytes of the path of a Unix socket."""
_STATUS = 200
"""Characters of a status."""
_WAITING = 16
"""Notices that wait for the supervisor."""
_FULL = (BlockingIOError, InterruptedError)


class Notices(Protocol):
    """The contract of those who are notified. No method blocks or raises.

    Attributes
    ----------
    watchdog : float
        Seconds without a beat after which the supervisor ends the service; 0 if it needs none.
    """

    watchdog: float

    def ready(self, status: str) -> None:
        """Say that the service accepts requests, at the start or after it was reloaded."""

    def status(self, text: str) -> None:
        """Say what the service does, in a line for people."""

    def reloading(self) -> None:
        """Say that the service reads its settings again."""

    def stopping(self) -> None:
        """Say that the service ends."""

    def beat(self) -> None:
        """Say that the event loop runs."""

    def close(self) -> None:
        """Release the socket."""


class NullNotices:
    """Null object: there is no supervisor."""

    watchdog = 0.0

    def ready(self, status: str) -> None:
        """Do nothing."""

    def status(self, text: str) -> None:
        """Do nothing."""

    def reloading(self) -> None:
        """Do nothing."""

    def stopping(self) -> None:
        """Do nothing."""

    def beat(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class DatagramNotices:
    """Notices to the socket of a supervisor.

    Parameters
    ----------
    address : str
        Path of the socket; one that begins with ``@`` is abstract.
    watchdog : float, optional
        Seconds between two beats at most; 0 if none are expected.
    """

    def __init__(self, address: str, watchdog: float = 0.0) -> None:
        self.watchdog = watchdog
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._waiting: deque[bytes] = deque(maxlen=_WAITING)
        self._last = ""
        self._failed = False

    def ready(self, status: str) -> None:
        self._last = _line(status)
        self._send(f"READY=1\nSTATUS={self._last}")

    def status(self, text: str) -> None:
        line = _line(text)
        if line != self._last and self._send(f"STATUS={line}", keep=False):
            self._last = line

    def reloading(self) -> None:
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        self._last = "ending"
        self._send(f"STOPPING=1\nSTATUS={self._last}")

    def beat(self) -> None:
        self._send("WATCHDOG=1", keep=False)

    def close(self) -> None:
        self._socket.close()

    def _send(self, notice: str, *, keep: bool = True) -> bool:
        """Send what waits and then a notice; return whether all were sent."""
        self._waiting.append(notice.encode())
        try:
            while self._waiting:
                self._socket.sendto(self._waiting[0], self._address)
                self._waiting.popleft()
        except _FULL:
            if not keep:
                self._waiting.pop()
            return False
        except OSError as error:
            self._waiting.clear()
            if not self._failed:
                self._failed = True
                log.warning("the supervisor can't be notified: %s", error.strerror)
            return False
        self._failed = False
        return True


def notices_of(environ: MutableMapping[str, str]) -> Notices:
    """Return where a process with an environment sends notices.

    What concerns this process only is removed from the environment, so that children of it do not
    notify the supervisor.
    """
    address = environ.pop(SOCKET, "")
    microseconds, pid = environ.pop(WATCHDOG, ""), environ.pop(WATCHDOG_PID, "")
    if not address:
        return NullNotices()
    if address[0] not in "/@" or not 1 < len(os.fsencode(address)) <= _ADDRESS:
        log.warning("%s is no address of a Unix socket: %s", SOCKET, printable(address[:_ADDRESS]))
        return NullNotices()
    ours = pid in ("", str(os.getpid()))
    number = int(microseconds) if microseconds.isascii() and microseconds.isdecimal() else 0
    return DatagramNotices(address, number / 1e6 if ours else 0.0)


def _line(text: str) -> str:
    """Return a text as one line of bounded length: others may have written parts of it."""
    return printable(text)[:_STATUS]
