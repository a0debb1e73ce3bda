"""Memory of services: the C library's allocator, and the collection of very many objects.

By default glibc gives each thread an arena of its own, so that one thread can't reuse buffers that
another one freed, and maps large buffers anew each time, whose pages fault in again. A service
allocates and frees buffers of a megabyte in several threads all the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os

from caterva2.limits.constants import MIB

_OPTIONS = {-8: 1, -3: 32 * MIB, -1: 32 * MIB}
"""``M_ARENA_MAX``, ``M_MMAP_THRESHOLD`` and ``M_TRIM_THRESHOLD`` of glibc's ``malloc.h``."""


def share() -> None:
    """Have all threads share one arena, which keeps some freed megabytes for reuse.

    Call it before threads are started. With another C library, or where the environment sets
    ``MALLOC_`` options, nothing happens.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _OPTIONS.items():
            mallopt(option, value)


def promote_all() -> None:
    """Promote all live objects to the oldest generation, without scanning them.

    There may be millions of entries, and scanning them again and again while more are created
    would stall all threads. Unlike freezing, this keeps no object from being collected later.
    """
    gc.freeze()
    gc.unfreeze()
