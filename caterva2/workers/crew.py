"""The process that forks workers, as the core sees it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from typing import Any

from caterva2.isolation.execution import environment
from caterva2.workers import channel

_FORKED = 30.0
"""Seconds until a process that does not fork is given up: it imports what workers need first."""


class Crew:
    """Forks workers; started anew where it has ended. Its methods block.

    Parameters
    ----------
    page : int
        Descriptor of the numbers that workers see.
    given : dict
        What they have to know.
    """

    def __init__(self, page: int, given: dict[str, Any]) -> None:
        self._page, self._given = page, json.dumps(given)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ended = False

    def fork(self) -> tuple[int, socket.socket]:
        """Fork a worker; return its process, and the socket to it.

        Raises
        ------
        OSError
            If that is not possible now.
        """
        with self._lock:
            control = self._started()
            ours, theirs = channel.pair()
            try:
                with theirs:
                    socket.send_fds(control, [b"fork"], [theirs.fileno()])
                answer = control.recv(16)
                if not answer:
                    raise ConnectionResetError("the process that forks workers has ended")
            except OSError:
                ours.close()
                self._end()
                raise
            if (pid := int(answer)) < 0:
                ours.close()
                raise OSError(-pid, os.strerror(-pid))
            return pid, ours

    def _started(self) -> socket.socket:
        if self._ended:
            raise ConnectionAbortedError("the subscriber ends")
        if self._control is not None:
            return self._control
        ours, theirs = channel.pair()
        ours.settimeout(_FORKED)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable, "-P", "-m", "caterva2.workers", str(theirs.fileno()),
                    str(self._page), self._given,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self._page),
                env=environment(),
                cwd="/",
            )  # fmt: skip
        self._control = ours
        return ours

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()  # at which it ends
            self._control = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0)
            self._process.kill()
            self._process.wait()
            self._process = None

    def end(self) -> None:
        """End it, and all workers that still run; a call that waits for it fails."""
        self._ended = True
        if (process := self._process) is not None:
            process.kill()
        with self._lock:
            self._end()
