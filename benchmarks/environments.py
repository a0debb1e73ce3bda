"""Python environments of their own for what we are compared with, and the servers in them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import TOP
from benchmarks.services import eventually, free_port

PLACE = TOP / "_caterva2" / "alternatives"
PACKAGES = {
    "main": ["zarr", "fsspec", "aiohttp", "requests", "h5py", "hdf5plugin", "tiled[all]"],
    "hsds": ["hsds", "h5pyd"],  # which ask for other versions of the same
}
OTHERS = str(Path(__file__).parent / "others.py")


def python(name: str) -> str:
    """The Python of an environment; it is made when it is not there."""
    place = PLACE / name
    stamp = place / "installed"
    found = str(place / "bin" / "python")
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        install = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *PACKAGES[name]], check=True, stderr=subprocess.DEVNULL)
        stamp.touch()
    return found


@contextlib.contextmanager
def tiled(directory: Path) -> Iterator[str]:
    """Tiled over zarr arrays; its URL."""
    port = free_port()
    with _server([python("main"), OTHERS, "tiled", "serve", str(port), str(directory)], port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def hsds(directory: Path) -> Iterator[str]:
    """HSDS over a directory; its URL."""
    port = free_port()
    (directory / "store" / "bench").mkdir(parents=True)
    command = str(Path(python("hsds")).with_name("hsds"))
    who = ["--hs_username", "admin", "--hs_password", "admin"]
    where = ["--root_dir", str(directory / "store"), "--bucket_name", "bench"]
    more = ["--port", str(port), "--count", "2", "--logfile", str(directory / "log")]
    url = f"http://127.0.0.1:{port}"
    with _server([command, *where, *who, *more], port):
        eventually(lambda: _says_ready(url), 60, 0.5)
        yield url


def _says_ready(url: str) -> bool:
    """Whether HSDS has started all its processes."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/about", timeout=5) as answer:
        return b'"READY"' in answer.read()
    return False


@contextlib.contextmanager
def _server(command: list[str], port: int) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=TOP, start_new_session=True)
    try:
        eventually(lambda: _listens(port, server), 60)
        yield
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(15)
        with contextlib.suppress(ProcessLookupError):  # HSDS leaves its own processes behind
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _listens(port: int, server: subprocess.Popen[bytes]) -> bool:
    if server.poll() is not None:
        raise ChildProcessError(f"{server.args!r} ended with {server.returncode}")
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False
