"""A static file server: nginx if it is installed, else one of ours over ``sendfile``.

Ours is a thread a connection; Python's ``http.server`` would be several times slower.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socketserver
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import TOP
from benchmarks.services import eventually, free_port

_NGINX = """
{user}daemon off; pid {state}/nginx.pid; error_log stderr error; worker_processes auto;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {state}/body; proxy_temp_path {state}/proxy;
  fastcgi_temp_path {state}/fastcgi; uwsgi_temp_path {state}/uwsgi; scgi_temp_path {state}/scgi;
  server {{ listen 127.0.0.1:{port}; root {directory}; }}
}}
"""
_RANGE = re.compile(rb"\r\nrange: *bytes=(\d+)-(\d*)", re.IGNORECASE)


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                piece = self.request.recv(65536)
                if not piece:
                    return
                rest += piece
            head, _, rest = rest.partition(b"\r\n\r\n")
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        method, target = head.split(b" ", 2)[:2]
        name = urllib.parse.unquote(target.partition(b"?")[0].decode())
        try:
            file = os.open(os.path.normpath(f"./{name}"), os.O_RDONLY)
            size = os.fstat(file).st_size
            if os.path.isdir(file):
                raise IsADirectoryError
        except OSError:
            self.request.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        try:
            self._send(file, size, head, method)
        finally:
            os.close(file)

    def _send(self, file: int, size: int, head: bytes, method: bytes) -> None:
        start, stop, first = 0, size, b"200 OK\r\nAccept-Ranges: bytes"
        if wanted := _RANGE.search(head):
            start = int(wanted[1])
            stop = min(int(wanted[2]) + 1, size) if wanted[2] else size
            first = b"206 Partial Content\r\nContent-Range: bytes %d-%d/%d" % (
                start, stop - 1, size,
            )  # fmt: skip
        told = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (first, stop - start)
        more = 0x8000 if method == b"GET" else 0  # MSG_MORE
        self.request.sendall(told, more)
        while method == b"GET" and start < stop:
            start += os.sendfile(self.request.fileno(), file, start, stop - start)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextlib.contextmanager
def file_server(directory: Path, state: Path) -> Iterator[tuple[str, str]]:
    """A server of a directory, and which one it is: its URL and its name."""
    port = free_port()
    name = "nginx" if shutil.which("nginx") else "sendfile server"
    command = [sys.executable, "-m", "benchmarks.fileserver", str(port), str(directory)]
    if name == "nginx":
        state.mkdir()
        config = state / "nginx.conf"
        # Its workers would be another user's, who can't read a temporary directory.
        user = "user root root; " if os.geteuid() == 0 else ""
        config.write_text(_NGINX.format(user=user, state=state, port=port, directory=directory))
        command = ["nginx", "-c", str(config), "-p", str(state)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=TOP)
    try:
        eventually(lambda: _listens(port), 30)
        yield f"http://127.0.0.1:{port}", name
    finally:
        server.terminate()
        server.wait(10)


def _listens(port: int) -> bool:
    import socket

    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


if __name__ == "__main__":
    os.chdir(sys.argv[2])
    _Server(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
