"""Pins: what was taken home, from which subscriber, in which versions."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caterva2.cache.store import directory_name
from caterva2.depot import locks
from caterva2.errors import BadRequest, Busy, CatervaError
from caterva2.names import parse_full
from caterva2.runtime import durable

log = logging.getLogger(__name__)
FORMAT = 1


class Pins:
    """The list of taken paths: a small file, read again when it changes.

    Parameters
    ----------
    file : Path
    url : str
        The subscriber that all of it is from; empty if that is known otherwise.
    """

    def __init__(self, file: Path, url: str = "") -> None:
        self._file, self._url = file, url
        self._read: tuple[int, int] = (0, 0)
        self._entries: dict[str, dict[str, Any]] = {}
        self._pinned: frozenset[str] = frozenset()
        self._complained = False

    def holds(self, name: str) -> bool:
        """Return whether a dataset was taken, by the name of its directory of replicas.

        All may have been taken while the file can't be read: reads are not disturbed by that, and
        nothing is lost.
        """
        return not self._is_read() or name in self._pinned

    def has(self, path: str) -> bool:
        """Return whether a dataset was taken; as of `holds`."""
        if not self._is_read():
            return True
        return any(path in entry["datasets"] for entry in self._entries.values())

    def _is_read(self) -> bool:
        try:
            self.entries()
        except BadRequest as error:
            if not self._complained:
                log.warning("nothing is evicted: %s", error)
            self._complained = True
            return False
        self._complained = False
        return True

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return what was taken, by the words of the command that took it.

        Raises
        ------
        BadRequest
            If the file is of a later version, damaged, or of another subscriber.
        """
        try:
            status = self._file.stat()
        except FileNotFoundError:
            self._entries, self._pinned, self._read = {}, frozenset(), (0, 0)
            return {}
        stamp = status.st_mtime_ns, status.st_ino
        if stamp != self._read:
            self._entries = _entries(self._file, self._url)
            names = (path for one in self._entries.values() for path in one["datasets"])
            self._pinned = frozenset(directory_name(*parse_full(path)) for path in names)
            self._read = stamp
        return {name: {**entry} for name, entry in self._entries.items()}

    @contextlib.contextmanager
    def change(self) -> Iterator[dict[str, dict[str, Any]]]:
        """Change the entries, which are written at the end.

        Raises
        ------
        Busy
            If no lock is to be had: its holders only write the file.
        """
        lock = self._file.with_name(f".{self._file.name}.lock")
        with locks.held(locks.open_file(lock), locks.PATIENCE) as owned:
            if not owned:
                raise Busy(f"{lock} can't be locked: another process has it, or it has no locks")
            entries = self.entries()
            yield entries
            content = {"format": FORMAT, "url": self._url, "taken": entries}
            durable.write(self._file, json.dumps(content, indent=1).encode())


def _entries(file: Path, url: str) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(file.read_bytes())
        known, there = content["format"], str(content["url"])
        found = {
            str(name): {
                "path": str(entry["path"]),
                "key": str(entry["key"]),
                "datasets": {str(path): str(etag) for path, etag in entry["datasets"].items()},
            }
            for name, entry in content["taken"].items()
        }
        for entry in found.values():
            for path in entry["datasets"]:
                parse_full(path)
    except (ValueError, KeyError, TypeError, AttributeError, CatervaError) as error:
        raise BadRequest(f"{file} is damaged, remove it and take again: {error}") from None
    if known != FORMAT:
        raise BadRequest(f"{file} has the format {known!r:.20}, which is a later one")
    if there != url:
        raise BadRequest(f"what is in {file.parent} was taken from {there}, not from {url}")
    return found
