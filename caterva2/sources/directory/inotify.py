"""Changes in directories as Linux reports them: a thread sleeps until there is one."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Self

IDLE_S = 5.0
"""Seconds without a change after which the caller gets nothing, to look at the time."""
_FIRST_S = 0.5
"""Seconds after which it gets that for the first time: what changed before may be unseen."""
_STOP_S = 0.05
"""Seconds between two looks at an event that wakes up no poll."""
_DEBOUNCE_S = 0.05
"""Seconds for which changes are gathered at most."""
_QUIET_MS = 10
"""Milliseconds without one after which they are complete."""
_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_OVERFLOW, _IGNORED, _IS_DIRECTORY = 0x4000, 0x8000, 0x40000000
_ONLY_DIRECTORY, _NO_LINK, _EXCLUDE_UNLINKED = 0x1000000, 0x2000000, 0x4000000
_CHANGES = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_BELOW = _CHANGES | _ONLY_DIRECTORY | _NO_LINK | _EXCLUDE_UNLINKED
_EVENT = struct.Struct("iIII")
_BUFFER = 64 * 1024
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_TOO_MANY = {
    errno.ENOSPC: "more directories than fs.inotify.max_user_watches allows",
    errno.EMFILE: "more watches than fs.inotify.max_user_instances or the open files allow",
}
"""What errors mean here; their own texts are about disks and files."""


def watch(
    places: Iterable[str],
    stop: threading.Event,
    *,
    recursive: bool = True,
    idle: float = IDLE_S,
) -> Iterator[set[str]]:
    """Yield the paths that changed in directories, each time that some did; an empty set if none.

    Parameters
    ----------
    places : iterable of str
        Directories. Links below them are not followed.
    stop : threading.Event
        Ends this; at once if it has a ``fileno`` that becomes readable.
    recursive : bool, optional
        Whether all directories below these are watched too, also those that are made later.
    idle : float, optional
        Seconds without a change after which an empty set is yielded.

    Raises
    ------
    OSError
        If one can't be watched: it can't be read, or the system has too many watches.
    """
    with _Watches(recursive) as watches:
        for place in places:
            watches.add(place)
        waking = getattr(stop, "fileno", None)
        poll = select.poll()
        poll.register(watches.descriptor, select.POLLIN)
        if waking is not None:
            poll.register(waking(), select.POLLIN)
        due = time.monotonic() + min(_FIRST_S, idle)
        while not stop.is_set():
            left = max(due - time.monotonic(), 0.0)
            poll.poll(1000 * (left if waking is not None else min(left, _STOP_S)))
            found = watches.gathered()
            if found or time.monotonic() >= due:
                due = time.monotonic() + idle
                yield found


class _Watches:
    """The watches of directories, with their paths."""

    def __init__(self, recursive: bool) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._recursive = recursive
        self._paths: dict[int, str] = {}
        self._places: list[str] = []
        if not hasattr(self._library, "inotify_init1"):
            raise OSError(errno.ENOSYS, "this system has no inotify")
        self.descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise _error("inotify_init1")
        self._poll = select.poll()  # which bears any number of open files, as select does not
        self._poll.register(self.descriptor, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def add(self, place: str) -> None:
        """Watch a directory; before it is listed, so that nothing in it goes unseen."""
        self._places.append(place)
        self._add(place, _CHANGES | _ONLY_DIRECTORY | _EXCLUDE_UNLINKED)

    def _add(self, place: str, mask: int = _BELOW) -> None:
        left = [(place, mask)]
        while left:
            path, mask = left.pop()
            number = self._library.inotify_add_watch(self.descriptor, os.fsencode(path), mask)
            if number < 0:
                error = _error(path)
                if error.errno in _GONE and path not in self._places:
                    continue
                raise error
            self._paths[number] = path
            if self._recursive:
                left += [(f"{path}/{name}", _BELOW) for name in _directories(path)]

    def gathered(self) -> set[str]:
        """Return what has changed, once it is quiet; this does not wait for the first change."""
        found, until = self._read(), time.monotonic() + _DEBOUNCE_S
        while found and time.monotonic() < until:
            if not self._poll.poll(_QUIET_MS):
                break
            found |= self._read()
        return found

    def _read(self) -> set[str]:
        try:
            data = os.read(self.descriptor, _BUFFER)
        except BlockingIOError:
            return set()
        found, at = set(), 0
        while at < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, at)
            name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
            at += _EVENT.size + length
            found |= self._changed(number, mask, os.fsdecode(name))
        return found

    def _changed(self, number: int, mask: int, name: str) -> set[str]:
        if mask & _OVERFLOW:  # events were lost, also those of new directories
            for each in self._places:
                self._add(each)
            return set(self._places)
        place = self._paths.get(number)
        if mask & _IGNORED or place is None:
            self._paths.pop(number, None)
            return set()
        path = f"{place}/{name}" if name else place
        if mask & _IS_DIRECTORY and self._recursive and name:
            if mask & _MOVED_FROM:
                self._forget(path)
            elif mask & (_MOVED_TO | _CREATE):
                self._add(path)
        return {path}

    def _forget(self, path: str) -> None:
        """End the watches of a directory that has another name now, or is elsewhere."""
        for number, place in list(self._paths.items()):
            if place == path or place.startswith(f"{path}/"):
                del self._paths[number]
                self._library.inotify_rm_watch(self.descriptor, number)


def _directories(place: str) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, _TOO_MANY.get(number) or os.strerror(number), what)
