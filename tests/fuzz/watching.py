"""A target under watch: its limits of time and memory, and the inputs that it fails for."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import resource
import struct
import time
import traceback
from pathlib import Path

from tests.fuzz.targets import Target

SECONDS = 2.0
"""Processor time that one input may take."""
MEMORY = 256 * 2**20
"""Bytes by which one input may let the process grow."""
_HEAD = struct.Struct("<QQQ")
_ROOM = 2**20


class Slip:
    """What a process is at, in memory that outlives it: how many inputs it took, and the last."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _HEAD.size + _ROOM)

    def note(self, executions: int, crashes: int, data: bytes) -> None:
        _HEAD.pack_into(self._shared, 0, executions, crashes, len(data))
        self._shared[_HEAD.size : _HEAD.size + len(data)] = data

    def read(self) -> tuple[int, int, bytes]:
        executions, crashes, size = _HEAD.unpack_from(self._shared)
        return executions, crashes, self._shared[_HEAD.size : _HEAD.size + size]


class Watched:
    """A target that saves the inputs that it fails for, one for each place of the code.

    Parameters
    ----------
    name : str
    target : callable
    slip : Slip
        Knows the input while the target has it.
    directory : Path
        For the inputs, each with the traceback beside it.
    """

    def __init__(self, name: str, target: Target, slip: Slip, directory: Path) -> None:
        self._name, self._target, self._slip = name, target, slip
        self._directory = directory
        self._executions, self._crashes, _ = slip.read()
        self._seen: set[str] = set()

    def __call__(self, data: bytes) -> None:
        data = data[:_ROOM]
        self._executions += 1
        self._slip.note(self._executions, self._crashes, data)
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.process_time()
        try:
            self._target(data)
        except Exception as error:  # noqa: BLE001 - of any kind, or it would not be a fault
            self._save(_place(error), "".join(traceback.format_exception(error)), data)
        seconds = time.process_time() - started
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before.ru_maxrss) * 1024
        if seconds > SECONDS:
            self._save("seconds", f"it took {seconds:.1f} s", data)
        if grown > MEMORY:
            self._save("memory", f"it took {grown >> 20} MiB", data)

    def _save(self, place: str, why: str, data: bytes) -> None:
        if place in self._seen:
            return
        self._seen.add(place)
        self._crashes += 1
        save(self._directory, self._name, data, why)
        self._slip.note(self._executions, self._crashes, data)


def save(directory: Path, name: str, data: bytes, why: str) -> None:
    """Write an input and why it is a fault."""
    path = directory / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(why)


def limit_memory(more: int) -> None:
    """Let this process take so many bytes of addresses more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more
    with contextlib.suppress(ValueError):  # there is a lower limit already
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _place(error: BaseException) -> str:
    """The kind of an error and where it was raised: the last line of ours that is no target's."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/caterva2/" in f.filename] or frames
    return f"{type(error).__name__} {ours[-1].filename}:{ours[-1].lineno}"
