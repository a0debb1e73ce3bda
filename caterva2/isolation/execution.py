"""How a reading process is started: executed, in a new Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any, Protocol

MODULE = "caterva2.isolation.child"


class Process(Protocol):
    """The part of `subprocess.Popen` that is used."""

    pid: int
    stderr: IO[bytes] | None

    def wait(self) -> int: ...

    def kill(self) -> None: ...


def execute(given: dict[str, Any]) -> Process:
    """Run the process with what its command line gives, and with a pipe for its log."""
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-P", "-m", MODULE, json.dumps(given)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=given["descriptors"],
        env=environment(),
        cwd="/",
    )


start: Callable[[dict[str, Any]], Process] = execute
"""Starts a process; another function may do it where what the process needs is loaded already."""


def environment() -> dict[str, str]:
    """Our environment, with the modules found where we find them."""
    places = [os.path.abspath(place) if place else os.getcwd() for place in sys.path]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places)}
