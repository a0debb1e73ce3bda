"""What the system allows: watches of files, open files, and the time."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path

from caterva2.cli.doctor.finding import Finding, Level

WATCHES = 65_536
"""Directories that publishers may want to watch."""
FILES = 4_096
"""Descriptors of a subscriber with as many connections as its limits allow, and its replicas."""
FEW_FILES = 1_024
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_watches")
_BUILT = 1_767_225_600
"""The beginning of 2026: no clock that is right is before it."""


def look() -> Iterator[Finding]:
    """Yield what the system allows."""
    try:
        yield watches(int(_INOTIFY.read_text()))
    except (OSError, ValueError):
        yield Finding("note", "file watches", "unknown here",
                      "cat2pub --watch poll scans directories instead")  # fmt: skip
    yield open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield clock(time.time())


def watches(limit: int) -> Finding:
    """Judge how many directories the processes of a user may watch."""
    text = f"{limit:,} directories"
    if limit < WATCHES:
        advice = f"for more, sysctl fs.inotify.max_user_watches={WATCHES * 8}, or --watch poll"
        return Finding("note", "file watches", text, advice)
    return Finding("ok", "file watches", text)


def open_files(limit: int) -> Finding:
    """Judge how many files a process may have open."""
    if limit < 0 or limit >= FILES:
        return Finding("ok", "open files", "unlimited" if limit < 0 else f"{limit:,}")
    advice = f"ulimit -n {FILES * 2}, or LimitNOFILE={FILES * 2} of a unit"
    level: Level = "wrong" if limit < FEW_FILES else "note"
    return Finding(level, "open files", f"{limit:,}, for connections and replicas", advice)


def clock(now: float) -> Finding:
    """Judge whether the clock was ever set."""
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _BUILT:
        return Finding("wrong", "clock", text, "set it: certificates and sessions need it")
    return Finding("ok", "clock", text)
