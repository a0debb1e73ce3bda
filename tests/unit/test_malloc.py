"""The memory of a service's threads."""

from __future__ import annotations

import os
import subprocess
import sys

ALLOCATE = """
import ctypes, threading
from caterva2.runtime import memory
{first}
barrier = threading.Barrier(8)
def work():
    held = [bytes(1_000_000)]
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
told = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, told)
libc.fclose(told)
"""


def arenas(first: str) -> int:
    """How many arenas a process has whose threads have used memory."""
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    told = subprocess.run(
        [sys.executable, "-c", ALLOCATE.format(first=first)],
        env=environment, check=True, timeout=60, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return told.count("<heap nr=")


def test_threads_of_a_service_share_one_arena() -> None:
    assert arenas("memory.share()") == 1
    assert arenas("") > 1
