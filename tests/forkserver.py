"""Services forked from one process that has imported everything.

Starting Python and importing what a service needs takes a second of a core, and the tests start
hundreds of services. So each test process that starts services has a fork server: a process that
has imported all that they use, and forks one for each that is started. Such a process is
like one that was executed: it has its own session, memory, directory, environment, standard
output and error, exit code and death. What it lacks is its own command line in the list of
processes, and the cost, in time and memory, of its imports.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from caterva2.isolation import execution
from tests.forking import FULL, HEAD, READER, TIED, Request

if TYPE_CHECKING:
    from caterva2.cli.site.processes import Tie

INHERITED = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)


class Forked:
    """A forked process, with the face of `subprocess.Popen` that `Child` uses."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()

    def __del__(self) -> None:
        os.close(self._status)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._status, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("forked service", timeout or 0)
            with self._lock:
                if self.returncode is None:
                    status = os.read(self._status, 4)
                    if not status:
                        raise RuntimeError("the fork server has ended")
                    self.returncode = os.waitstatus_to_exitcode(*HEAD.unpack(status))
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The other side of `tests.forking`, in the process that starts services.

    Parameters
    ----------
    control : socket
        Connected to the process that forks.
    process : subprocess.Popen, optional
        That process, or the one that it was forked from; if it is to be waited for in the end.
    """

    def __init__(
        self, control: socket.socket, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._control = control
        self._process = process
        self._lock = threading.Lock()
        self._null = open(os.devnull, "rb")  # noqa: SIM115 - closed with this

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def fork(
        self,
        command: str,
        arguments: list[str],
        streams: tuple[int, int, int],
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> Forked:
        """Run a command of the package in a forked process that gets three streams."""
        umask = os.umask(0)
        os.umask(umask)
        rlimits = {str(kind): resource.getrlimit(kind) for kind in INHERITED}
        env = dict(os.environ) if env is None else env
        request = Request(command, arguments, str(cwd or Path.cwd()), env, rlimits, umask)
        body = json.dumps(asdict(request)).encode()
        status, exited = os.pipe()
        try:
            with self._lock:
                socket.send_fds(
                    self._control, [HEAD.pack(len(body))], (*streams, exited, *descriptors)
                )
                self._control.sendall(body)
                pid = self._control.recv(4)
        finally:
            os.close(exited)
        if not pid:
            raise RuntimeError("the fork server has ended")
        return Forked(*HEAD.unpack(pid), status)

    def spawn(
        self,
        command: str,
        arguments: list[str],
        errors: IO[bytes],
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        *,
        stdin: IO[bytes] | None = None,
    ) -> Forked:
        """Run a command, with a pipe for what it prints; a `Spawn` of cli/children.py."""
        stdout, printed = os.pipe()
        try:
            streams = (stdin or self._null).fileno(), printed, errors.fileno()
            forked = self.fork(command, arguments, streams, cwd, env)
        finally:
            os.close(printed)
        forked.stdout = open(stdout, "rb")  # noqa: SIM115 - closed by its user
        return forked

    def disown(self) -> None:
        """Leave the fork server to another process that has its socket too, or have it end."""
        self._control.close()
        self._null.close()

    def close(self) -> None:
        """End the fork server and all that it forked."""
        self.disown()
        if self._process is not None:
            self._process.wait()


def start(count: int = 1, imports: str = FULL) -> list[ForkServer]:
    """Start fork servers that share what one of them has imported."""
    pairs = [socket.socketpair() for _ in range(count)]
    theirs = [str(their.fileno()) for _, their in pairs]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forking", imports, *theirs],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=[their.fileno() for _, their in pairs],
    )
    for _, their in pairs:
        their.close()
    return [ForkServer(our, process) for our, _ in pairs]


_own: list[ForkServer] = []
"""The fork server of this process, if it has one."""


def adopt(started: list[ForkServer]) -> None:
    """Make the last of some fork servers that of this process, which was forked after them."""
    _own[:] = started[-1:]
    for other in started[:-1]:
        other.disown()


def adopt_control(control: socket.socket) -> None:
    """Have this forked service start the processes that read its files by a fork server too."""
    _own[:] = [ForkServer(control)]
    execution.start = start_reader


def fork_server() -> ForkServer:
    """The fork server of this process."""
    if not _own:
        _own.extend(start())
        atexit.register(close)
    return _own[0]


def close() -> None:
    """End the fork server of this process, if there is one."""
    if _own:
        _own.pop().close()


def start_reader(given: dict[str, Any]) -> Forked:
    """Fork a process that reads files; `execution.start` of caterva2/isolation."""
    lines, errors = os.pipe()
    arguments = [json.dumps(given)]
    try:
        with open(os.devnull, "r+b") as null:
            streams = null.fileno(), null.fileno(), errors
            forked = fork_server().fork(
                READER,
                arguments,
                streams,
                Path("/"),
                execution.environment(),
                descriptors=given["descriptors"],
            )
    finally:
        os.close(errors)
    forked.stderr = open(lines, "rb")  # noqa: SIM115 - closed by its user
    return forked


def spawn(
    command: str,
    arguments: list[str],
    errors: IO[bytes],
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> Forked:
    """Run a command of the package in a process forked by this process's fork server."""
    return fork_server().spawn(command, arguments, errors, cwd, env)


def fork_parts() -> None:
    """Have this process, a forked ``caterva2 serve``, fork its services too."""
    from caterva2.cli.site.processes import Tie

    Tie.spawn = _spawn_tied  # type: ignore[method-assign, assignment]


def _spawn_tied(
    tie: Tie,
    command: str,
    arguments: list[str],
    errors: IO[bytes],
    cwd: Path | None,
    env: dict[str, str] | None,
) -> Forked:
    """Fork a service that ends when the process that has the other end of the tie does."""
    with open(tie._read, "rb", closefd=False) as pipe:
        return fork_server().spawn(command, [TIED, *arguments], errors, cwd, env, stdin=pipe)


def run(
    command: str,
    *arguments: str,
    cwd: Path | None = None,
    stdin: str = "",
    timeout: float = 60.0,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the package to its end in a forked process."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(stdin.encode())
        given.seek(0)
        child = fork_server().spawn(
            command, list(arguments), errors, cwd, os.environ | env, stdin=given
        )
        killer = threading.Timer(timeout, child.kill)
        killer.start()
        try:
            assert child.stdout is not None
            with child.stdout as pipe:
                printed = pipe.read().decode()
            code = child.wait()
        finally:
            killer.cancel()
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, printed, errors.read().decode())
