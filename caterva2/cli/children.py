"""Services as child processes: started, waited for until ready, ended."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from caterva2.errors import StartError
from caterva2.limits import constants

READY_S = 30.0


class Process(Protocol):
    """The part of `subprocess.Popen` that `Child` uses."""

    pid: int
    stdout: IO[bytes] | None
    returncode: int | None

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int, /) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


Spawn = Callable[[str, list[str], IO[bytes], Path | None, dict[str, str] | None], Process]
"""Start a command with arguments, standard error, directory and environment."""


def spawn(
    command: str,
    arguments: list[str],
    errors: IO[bytes],
    cwd: Path | None,
    env: dict[str, str] | None,
) -> Process:
    """Run a command of this package in a new Python, in a session of its own."""
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "caterva2.cli.launch", command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        cwd=cwd,
        env=env,
    )


class Child:
    """A service in a process of its own.

    Parameters
    ----------
    command : str
        ``cat2bro``, ``cat2pub`` or ``cat2sub``.
    arguments : list of str
    log : Path
        Where its standard error goes.
    cwd : Path, optional
        Its directory, if not the one of this process.
    env : dict of str to str, optional
        Its environment, if not the one of this process.
    spawn : callable, optional
        How the process is started.
    """

    def __init__(
        self,
        command: str,
        arguments: list[str],
        log: Path,
        *,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        spawn: Spawn = spawn,
    ) -> None:
        self.command = command
        self.arguments = arguments
        self.log = log
        with log.open("ab") as errors:
            self._log_start = errors.tell()
            self.process = spawn(command, arguments, errors, cwd, env)

    def ready(self, timeout: float = READY_S) -> str:
        """Wait for the line that says the service is ready.

        Raises
        ------
        StartError
            If the process ends before, with the last line of its log, or takes too long.
        """
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        until, line = time.monotonic() + timeout, b""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                left = until - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise StartError(f"{self.command} is not ready after {timeout:g} s")
                piece = os.read(pipe, 4096)
                if not piece:
                    self.process.wait(constants.SHUTDOWN)
                    raise StartError(self.last_words())
                line += piece
        return line.decode().strip()

    def last_words(self) -> str:
        """Return the last line of its log."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"{self.command} ended with {self.process.returncode}"

    def stop(self) -> int:
        """End it as ``systemd`` would, and return its exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for the end of a terminated process and return its exit code; kill it if late."""
        try:
            code = self.process.wait(constants.SHUTDOWN + 2)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self.process.wait()
        self._close()
        return code

    def kill(self) -> None:
        """Send SIGKILL and wait."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()
