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
from dataclasses import dataclass, field
from typing import NoReturn

PRELOADED = (
    "caterva2.cli.cat2bro",
    "caterva2.cli.cat2cli",
    "caterva2.cli.cat2export",
    "caterva2.cli.cat2import",
    "caterva2.cli.cat2keys",
    "caterva2.cli.cat2pub",
    "caterva2.cli.cat2sub",
    "caterva2.cli.caterva2",
    "caterva2.cli.commands.taking",
    "caterva2.cli.commands.transfers",
    "caterva2.cli.commands.upkeep",
    "caterva2.cli.commands.values",
    "caterva2.cli.site.serving",
    "caterva2.hdf5.source",
    "caterva2.isolation.child",
    "caterva2.isolation.hdf5",
    # What these import when it is first used:
    "anyio._backends._asyncio",
    "caterva2.pages.site",
    "caterva2.sources.directory.open_frames",
    "cryptography.hazmat.backends.openssl.backend",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "encodings.idna",
    "encodings.unicode_escape",
    "hdf5plugin",
    "numpy.ma",
    "uvicorn.lifespan.off",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
FULL, BARE = "full", "bare"
"""Whether all that is imported ahead, or nothing."""
STACKS = signal.SIGUSR1
"""A forked process that gets it writes the stacks of its threads to its standard error."""
TIED = "--tied"
"""Before the arguments of a service that ends when its standard input does."""
READER = "reader"
"""The command of a process that reads files: caterva2/isolation/child.py."""
PYTHON = "python"
"""The command that runs any program: tests/python.py."""
DESCRIPTORS = 250
"""How many one message may carry."""
PR_SET_PDEATHSIG = 1
HEAD = struct.Struct("!I")
"""The length of a request, a process's number, and its exit status."""


@dataclass
class Request:
    """A command to run in a process of its own."""

    command: str
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    rlimits: dict[str, tuple[int, int]]
    umask: int
    streams: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    """What it gets besides its streams."""
    control: socket.socket | None = None
    """Where a service asks for processes that read files."""


class Server:
    """Forks a process for each request, and reports its exit status."""

    def __init__(self, control: socket.socket) -> None:
        self._owner = control
        self._controls: set[socket.socket] = set()
        """The sockets of the owner, and of living services."""
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
            self._register(self._owner, selector)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is wakeup:
                        wakeup.recv(4096)
                        self._reap()
                    elif (request := self._serve(key.data, selector)) is not None:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        wakeup.close()
                        waker.close()
                        return request

    def _register(self, control: socket.socket, selector: selectors.BaseSelector) -> None:
        self._controls.add(control)
        selector.register(control, selectors.EVENT_READ, control)

    def _serve(self, control: socket.socket, selector: selectors.BaseSelector) -> Request | None:
        head, fds, _, _ = socket.recv_fds(control, HEAD.size, DESCRIPTORS)
        if not head:
            if control is self._owner:
                self._end()
            self._controls.remove(control)
            selector.unregister(control)
            control.close()
            return None
        body = b""
        (size,) = HEAD.unpack(head)
        while len(body) < size:
            body += control.recv(size - len(body))
        request = Request(**json.loads(body))
        request.streams, status, request.descriptors = fds[:3], fds[3], fds[4:]
        ours = None
        if request.command != READER:
            ours, request.control = socket.socketpair()
        pid = self._fork(request)
        if pid == 0:
            os.close(status)
            if ours:
                ours.close()
            return request
        for fd in (*request.streams, *request.descriptors):
            os.close(fd)
        if ours and request.control:
            request.control.close()
            self._register(ours, selector)
        self._statuses[pid] = status
        control.sendall(HEAD.pack(pid))
        return None

    def _fork(self, request: Request) -> int:
        owner, pid = os.getpid(), os.fork()
        if pid == 0:
            die_with(owner)
            for fd in self._statuses.values():
                os.close(fd)
            for control in self._controls:
                control.close()
            for number, fd in enumerate(request.streams):
                os.dup2(fd, number)
                os.close(fd)
        return pid

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


def _read(request: Request) -> NoReturn:
    """Be a process that reads files."""
    sys.path += os.environ["PYTHONPATH"].split(os.pathsep)  # what it reads may be a test's own
    child = importlib.import_module("caterva2.isolation.child")
    given = json.loads(request.arguments[0])
    child.main(given | {"descriptors": request.descriptors, "parent": os.getppid()})
    os._exit(0)


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
    from tests import forkserver, rehearsal  # which import this module, or what services need

    preloaded = () if sys.argv[1] == BARE else PRELOADED
    controls = [socket.socket(fileno=int(given)) for given in sys.argv[2:]]
    _wait_for_a_request(controls)
    gc.disable()
    for name in preloaded:
        importlib.import_module(name)
    if preloaded:
        rehearsal.rehearse()
    assert threading.active_count() == 1
    gc.freeze()
    gc.enable()
    request = Server(_choose(controls)).serve()
    _become(request)
    if request.command == READER:
        _read(request)
    if request.control:
        forkserver.adopt_control(request.control)
    if request.command == "caterva2":
        forkserver.fork_parts()
    if request.arguments[:1] == [TIED]:
        importlib.import_module("caterva2.cli.launch").tie()
        del request.arguments[0]
    place = "tests" if request.command == PYTHON else "caterva2.cli"
    module = importlib.import_module(f"{place}.{request.command}")
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
