"""The process that has imported everything and forks services; `tests.forkserver` starts it.

It never starts a thread, an event loop or a ZeroMQ context, as none of these survives a fork. It
ends, together with all that it forked, when the process that started it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import resource
import select
import selectors
import signal
import socket
import struct
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import NoReturn

PRELOADED = (
    "caterva2.cli.cat2bro",
    "caterva2.cli.cat2cli",
    "caterva2.cli.cat2export",
    "caterva2.cli.cat2import",
    "caterva2.cli.cat2pub",
    "caterva2.cli.cat2sub",
    "caterva2.hdf5.source",
    # What these import when it is first used:
    "anyio._backends._asyncio",
    "hdf5plugin",
    "uvicorn.lifespan.off",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
STACKS = signal.SIGUSR1
"""A forked process that gets it writes the stacks of its threads to its standard error."""
PR_SET_PDEATHSIG = 1
HEAD = struct.Struct("!I")
"""The length of a request, a process's number, and its exit status."""


@dataclass(frozen=True)
class Request:
    """A command to run in a process of its own."""

    command: str
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    rlimits: dict[str, tuple[int, int]]
    umask: int


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
        head, fds, _, _ = socket.recv_fds(self._control, HEAD.size, 4)
        if not head:
            self._end()
        body = b""
        (size,) = HEAD.unpack(head)
        while len(body) < size:
            body += self._control.recv(size - len(body))
        request = Request(**json.loads(body))
        stdin, stdout, errors, status = fds
        owner = os.getpid()
        pid = os.fork()
        if pid == 0:
            die_with(owner)
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
        self._control.sendall(HEAD.pack(pid))
        return None

    def _reap(self) -> None:
        for pid in list(self._statuses):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                fd = self._statuses.pop(pid)
                with contextlib.suppress(BrokenPipeError):
                    os.write(fd, HEAD.pack(status))
                os.close(fd)

    def _end(self) -> NoReturn:
        for pid in self._statuses:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def die_with(owner: int) -> None:
    """Have this process killed when the process that forked it ends."""
    with contextlib.suppress(OSError, AttributeError):  # on Linux; elsewhere there is `_end`
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        os._exit(1)


def _become(request: Request) -> None:
    """Set what an executed process would have inherited: session, limits, directory, streams."""
    os.setsid()
    if os.isatty(0):  # the first terminal that the leader of a session opens is the session's
        os.close(os.open(os.ttyname(0), os.O_RDWR))
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


def _wait_for_a_request(controls: list[socket.socket]) -> None:
    """Return before the first request; exit if none can come any more."""
    left = list(controls)
    while left:
        for control in select.select(left, [], [])[0]:
            if control.recv(1, socket.MSG_PEEK):
                return
            left.remove(control)
    os._exit(0)


def _choose(controls: list[socket.socket]) -> socket.socket:
    """Return the only socket; of several, return each in a process, and end when these have."""
    if len(controls) == 1:
        return controls[0]
    owner = os.getpid()
    for control in controls:
        if os.fork() == 0:
            die_with(owner)
            for other in controls:
                if other is not control:
                    other.close()
            return control
    for control in controls:
        control.close()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    os._exit(0)


def main() -> NoReturn:
    controls = [socket.socket(fileno=int(given)) for given in sys.argv[1:]]
    _wait_for_a_request(controls)
    for name in PRELOADED:
        importlib.import_module(name)
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    request = Server(_choose(controls)).serve()
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
