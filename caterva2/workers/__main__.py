"""The process that forks workers: it has imported what they need, so they share that memory.

``python -m caterva2.workers CONTROL PAGE SETTINGS``: descriptors of the socket to the core and of
the shared numbers, and JSON. It forks a worker for each descriptor that it receives, and ends when
the socket does. It has no threads.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import gc
import json
import os
import signal
import socket
import sys
from typing import Any

import uvloop

from caterva2.runtime.logs.log import start_log
from caterva2.workers import serving

_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    """Fork workers until the core ends."""
    control, page = socket.socket(fileno=int(argv[0])), int(argv[1])
    given: dict[str, Any] = json.loads(argv[2])
    start_log(*given["log"])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the core, which ends this
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that workers leave no zombies
    gc.collect()
    gc.freeze()
    parent = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if not message:
            return 0
        try:
            pid = os.fork()
        except OSError as error:  # there are too many processes, which those that run survive
            pid = -(error.errno or errno.EAGAIN)
        if not pid:
            control.close()
            os._exit(_work(parent, descriptors[0], page, given))
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())


def _work(parent: int, channel: int, page: int, given: dict[str, Any]) -> int:
    """Be a worker, which does not outlive the process that forked it."""
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving.serve(socket.socket(fileno=channel), page, given))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
