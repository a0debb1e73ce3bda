"""Commands of the package for a shell: forked, as starting a Python for each takes a second."""

from __future__ import annotations

import contextlib
import marshal
import os
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.forkserver import fork_server

SERVICES = ("cat2bro", "cat2pub", "cat2sub")
TOOLS = ("cat2cli", "cat2keys", "cat2import", "cat2export", "python")
# A Python that imports nothing more takes half as long.
CLIENT = """\
#!{python} -IS
import _socket, marshal, os, sys
server = _socket.socket(_socket.AF_UNIX)
server.connect({address!r})
request = [{name!r}, sys.argv[1:], os.getcwd(), {{**os.environ}}]
streams = b"".join(fd.to_bytes(4, sys.byteorder) for fd in range(3))
server.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(marshal.dumps(request))
server.shutdown(_socket.SHUT_WR)
os._exit(int(server.recv(4) or b"1"))
"""


@contextlib.contextmanager
def commands(folder: Path, names: Iterable[str] = (*SERVICES, *TOOLS)) -> Iterator[None]:
    """Have programs in a folder that run the package's commands, each in a forked process."""
    address = str(folder / "socket")
    for name in names:
        program = folder / name
        program.write_text(CLIENT.format(python=sys.executable, address=address, name=name))
        program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        serving = threading.Thread(target=_serve, args=(server,))
        serving.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            serving.join()


def _serve(server: socket.socket) -> None:
    threads = []
    with contextlib.suppress(OSError):  # it is shut down
        while True:
            client, _ = server.accept()
            threads.append(threading.Thread(target=_answer, args=(client,)))
            threads[-1].start()
    for thread in threads:
        thread.join()


def _answer(client: socket.socket) -> None:
    with client:
        _, fds, _, _ = socket.recv_fds(client, 1, 3)
        with client.makefile("rb") as sent:
            name, arguments, cwd, env = marshal.loads(sent.read())
        try:
            endless = name in SERVICES and "--add-user" not in arguments
            run = _until_ready if endless else _to_its_end
            code = run(name, arguments, (fds[0], fds[1], fds[2]), Path(cwd), env)
        finally:
            for fd in fds:
                os.close(fd)
        with contextlib.suppress(BrokenPipeError):  # the shell has ended
            client.sendall(str(code).encode())


def _to_its_end(
    name: str, arguments: list[str], fds: tuple[int, int, int], cwd: Path, env: dict[str, str]
) -> int:
    return fork_server().fork(name, arguments, fds, cwd, env).wait(100)


def _until_ready(
    name: str, arguments: list[str], fds: tuple[int, int, int], cwd: Path, env: dict[str, str]
) -> int:
    """Run a service until it is ready, and end it."""
    stdout, printed = os.pipe()
    try:
        service = fork_server().fork(name, arguments, (fds[0], printed, fds[2]), cwd, env)
    finally:
        os.close(printed)
    with open(stdout) as lines:
        ready = " ready at " in lines.readline()
        service.terminate()
        code = service.wait(100)
    return code if ready else 1
