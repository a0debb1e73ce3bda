"""How the C library keeps the memory that a service frees.

Left alone, glibc gives each thread an arena of its own, so that buffers which one thread frees
are of no use to another, and takes large buffers from the system anew each time, whose pages have
to be touched for the first time again. A service makes and frees buffers of a megabyte in several
threads all the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

from caterva2.limits import MIB

_OPTIONS = {-8: 1, -3: 32 * MIB, -1: 32 * MIB}
"""``M_ARENA_MAX``, ``M_MMAP_THRESHOLD`` and ``M_TRIM_THRESHOLD`` of glibc's ``malloc.h``."""


def share() -> None:
    """Have all threads share one arena, which keeps some megabytes of what was freed.

    To be called before there are threads. Where the C library is another one, or the environment
    says how it is to be done, nothing happens.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _OPTIONS.items():
            mallopt(option, value)
