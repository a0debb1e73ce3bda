"""Services as child processes: started, waited for until ready, ended."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from caterva2 import limits
from caterva2.errors import StartError

READY_S = 30.0


class Child:
    """A service in a process of its own, apart from the terminal's signals.

    Parameters
    ----------
    command : str
        ``cat2bro``, ``cat2pub`` or ``cat2sub``.
    arguments : list of str
    log : Path
        Where its standard error goes.
    program : tuple of str, optional
        What Python is to run with these arguments, if not the command's module.
    """

    def __init__(
        self,
        command: str,
        arguments: list[str],
        log: Path,
        program: tuple[str, ...] = (),
        **more: Any,
    ) -> None:
        self.command = command
        self.log = log
        run = program or ("-m", f"caterva2.cli.{command}")
        with log.open("ab") as errors:
            self._log_start = errors.tell()
            self.process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, *run, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                **more,
            )

    def ready(self, timeout: float = READY_S) -> str:
        """Wait for the line that says the service is ready.

        Raises
        ------
        StartError
            If the process ends before it says so, or takes too long; its last words are told.
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
                    self.process.wait(limits.SHUTDOWN)
                    raise StartError(self.last_words())
                line += piece
        return line.decode().strip()

    def last_words(self) -> str:
        """The last line that it wrote to its log."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"{self.command} ended with {self.process.returncode}"

    def stop(self) -> int:
        """End it as ``systemd`` would; its exit code."""
        self.process.terminate()
        try:
            code = self.process.wait(limits.SHUTDOWN + 2)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self.process.wait()
        self._close()
        return code

    def kill(self) -> None:
        """End it at once, without a chance to tidy up."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()
