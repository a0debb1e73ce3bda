"""Services forked from one process that has imported everything.

Starting Python and importing what a service needs takes a second of a core, and the tests start
hundreds of services. So each test process that starts services has a fork server: a child that
imports all that they use, and then forks one process for each that is started. Such a process is
like one that was executed: it has its own session, memory, directory, environment, standard
output and error, exit code and death. What it lacks is its own command line in the list of
processes, and the cost, in time and memory, of its imports.

The fork server itself never starts a thread, an event loop or a ZeroMQ context, as none of these
survives a fork. It ends, together with all that it forked, when the process that started it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import functools
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NoReturn

PRELOADED = (
    "caterva2.cli.cat2bro",
    "caterva2.cli.cat2cli",
    "caterva2.cli.cat2export",
    "caterva2.cli.cat2import",
    "caterva2.cli.cat2pub",
    "caterva2.cli.cat2sub",
    "caterva2.sources.hdf5.source",
    # What these import when it is first used:
    "anyio._backends._asyncio",
    "hdf5plugin",
    "uvicorn.lifespan.off",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
ONE_THREAD = {"NUMEXPR_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""So that no library starts threads when it is imported; no service computes with either."""
INHERITED = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
STACKS = signal.SIGUSR1
"""A forked process that gets it writes the stacks of its threads to its standard error."""
PR_SET_PDEATHSIG = 1
_HEAD = struct.Struct("!I")


@dataclass(frozen=True)
class Request:
    """A command to run in a process of its own."""

    command: str
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    rlimits: dict[str, tuple[int, int]]
    umask: int


class Forked:
    """A forked process, with the face of `subprocess.Popen` that `Child` uses."""

    def __init__(self, pid: int, stdout: IO[bytes], status: int) -> None:
        self.pid = pid
        self.stdout: IO[bytes] | None = stdout
        self.returncode: int | None = None
        self._status = status

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
            status = os.read(self._status, 4)
            os.close(self._status)
            if not status:
                raise RuntimeError("the fork server has ended")
            self.returncode = os.waitstatus_to_exitcode(*_HEAD.unpack(status))
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The other side of `serve`, in the process that starts services."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._null = open(os.devnull, "rb")  # noqa: SIM115 - closed with this
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forkserver", str(theirs.fileno())],
                cwd=Path(__file__).parent.parent,
                env=os.environ | ONE_THREAD,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )

    @property
    def pid(self) -> int:
        return self._process.pid

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
        """Run a command of the package in a forked process; a `Spawn` of cli/children.py."""
        umask = os.umask(0)
        os.umask(umask)
        rlimits = {str(kind): resource.getrlimit(kind) for kind in INHERITED}
        env = dict(os.environ) if env is None else env
        request = Request(command, arguments, str(cwd or Path.cwd()), env, rlimits, umask)
        body = json.dumps(asdict(request)).encode()
        (stdout, printed), (status, exited) = os.pipe(), os.pipe()
        try:
            with self._lock:
                head = _HEAD.pack(len(body))
                fds = (stdin or self._null).fileno(), printed, errors.fileno(), exited
                socket.send_fds(self._control, [head], fds)
                self._control.sendall(body)
                pid = self._control.recv(4)
        finally:
            os.close(printed)
            os.close(exited)
        if not pid:
            raise RuntimeError("the fork server has ended")
        return Forked(*_HEAD.unpack(pid), open(stdout, "rb"), status)

    def close(self) -> None:
        """End the fork server and all that it forked."""
        self._control.close()
        self._null.close()
        self._process.wait()


@functools.cache
def fork_server() -> ForkServer:
    """The fork server of this process."""
    made = ForkServer()
    atexit.register(made.close)
    return made


def spawn(
    command: str,
    arguments: list[str],
    errors: IO[bytes],
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> Forked:
    """Run a command of the package in a process forked by this process's fork server."""
    return fork_server().spawn(command, arguments, errors, cwd, env)


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


# --- in the fork server ---


class Server:
    """Forks a process for each request, and reports its exit status."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._statuses: dict[int, int] = {}
        """For each living process: where its exit status is written."""

    def serve(self) -> Request:
        """Return the request in each forked process; in the server, exit when the owner does."""
        wakeup, waker = socket.socketpair()
        wakeup.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(wakeup, selectors.EVENT_READ)
            selector.register(self._control, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is wakeup:
                        wakeup.recv(4096)
                        self._reap()
                    elif (request := self._fork()) is not None:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        wakeup.close()
                        waker.close()
                        return request

    def _fork(self) -> Request | None:
        head, fds, _, _ = socket.recv_fds(self._control, _HEAD.size, 4)
        if not head:
            self._end()
        body = b""
        (size,) = _HEAD.unpack(head)
        while len(body) < size:
            body += self._control.recv(size - len(body))
        request = Request(**json.loads(body))
        stdin, stdout, errors, status = fds
        owner = os.getpid()
        pid = os.fork()
        if pid == 0:
            _die_with(owner)
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            os.dup2(errors, 2)
            for fd in (*fds, *self._statuses.values()):
                os.close(fd)
            self._control.close()
            return request
        for fd in (stdin, stdout, errors):
            os.close(fd)
        self._statuses[pid] = status
        self._control.sendall(_HEAD.pack(pid))
        return None

    def _reap(self) -> None:
        for pid in list(self._statuses):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                fd = self._statuses.pop(pid)
                with contextlib.suppress(BrokenPipeError):
                    os.write(fd, _HEAD.pack(status))
                os.close(fd)

    def _end(self) -> NoReturn:
        for pid in self._statuses:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _die_with(owner: int) -> None:
    """Have this process killed when the process that forked it ends."""
    with contextlib.suppress(OSError, AttributeError):  # on Linux; elsewhere there is `_end`
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        os._exit(1)


def _become(request: Request) -> None:
    """Set what an executed process would have inherited: session, limits, directory, streams."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also if the tests' is ignored
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(request.umask)
    for kind, rlimit in request.rlimits.items():
        resource.setrlimit(int(kind), rlimit)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    sys.argv = [request.command, *request.arguments]
    # Those of the fork server remember what kind of file each was.
    sys.stdin, sys.stdout, sys.stderr = map(os.fdopen, range(3), "rww")
    sys.stderr.reconfigure(errors="backslashreplace", line_buffering=True)
    faulthandler.enable()
    faulthandler.register(STACKS)


def _exit(code: int) -> NoReturn:
    """Exit as Python does, but without its slow teardown of modules."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> NoReturn:
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in PRELOADED:
        importlib.import_module(name)
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    request = Server(control).serve()
    _become(request)
    module = importlib.import_module(f"caterva2.cli.{request.command}")
    code = 1
    try:
        code = module.main(request.arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except Exception:  # noqa: BLE001 - printed as Python prints it
        traceback.print_exc()
    finally:
        _exit(code)


if __name__ == "__main__":
    main()
