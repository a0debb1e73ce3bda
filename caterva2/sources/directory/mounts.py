"""Containers of a directory: files of which the datasets are served too, below the file's path."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from caterva2.errors import (
    BadName,
    Busy,
    CatervaError,
    NotFound,
    StaleVersion,
    StartError,
    TooLarge,
)
from caterva2.limits import DEFAULTS
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.sources.directory import containers
from caterva2.sources.directory.containers import Format
from caterva2.sources.directory.inside import Inside
from caterva2.sources.versions import Version

log = logging.getLogger(__name__)
RETRY = 30.0
"""Seconds until a container that can't be listed is tried again though it is the same version;
doubled each time."""
PROGRESS = 2.0
"""Seconds between two lines of the log while containers are listed."""


class Look(NamedTuple):
    """The result of a look into a file.

    Attributes
    ----------
    format : str
        Name of the format; empty if the file is no container.
    entries : tuple of Entry
    is_final : bool
        Whether another look at the version would find nothing else.
    """

    format: str = ""
    entries: tuple[Entry, ...] = ()
    is_final: bool = True


PLAIN = Look()


@dataclass(frozen=True, slots=True)
class _Mounted:
    format: Format
    etag: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Failure:
    format: Format
    etag: str
    until: float
    pause: float


class Mounts:
    """The containers of a directory, and what is in them.

    They are listed by one thread after the other, and may be read by others meanwhile.

    Parameters
    ----------
    formats : sequence of Format
    log_once : callable
        Gets a path, what is wrong with it, and the version in which it is.
    look_again : callable
        Gets the path of a file that is to be looked at, though it looks unchanged.
    most : int
        Datasets in all of them together.
    groups : bool
        Whether groups in containers are described that have attributes.

    Attributes
    ----------
    until : float
        Monotonic time from which on no container is listed, since that may take long.
    left : set of str
        Containers that were met after it, for the caller to take and list.
    """

    def __init__(
        self,
        formats: Sequence[Format],
        log_once: Callable[[str, str, str], None],
        look_again: Callable[[str], None],
        most: int = DEFAULTS.publisher.file_datasets,
        *,
        groups: bool = True,
    ) -> None:
        self._formats = formats
        self._groups = groups
        self._look_again = look_again
        self._log = log_once
        self._mounted: dict[str, _Mounted] = {}
        self._most, self._inside = most, 0
        self._failed: dict[str, _Failure] = {}
        self._usable_at = -math.inf
        self.until = math.inf
        self.left: set[str] = set()
        self.begin()

    def close(self) -> None:
        """Close all containers."""
        for each in self._formats:
            each.close()

    def warm_up(self) -> None:
        """Prepare for the first read of a container, if there are any."""
        for used in {mounted.format for mounted in list(self._mounted.values())}:
            used.warm_up()

    # --- listing ---

    def begin(self) -> None:
        """Count from here on, for lines of the log about the progress."""
        self._count, self._told = 0, time.monotonic()

    def restore(self, path: str, etag: str, look: Look) -> None:
        """Take what an earlier look found in a file that has not changed since."""
        if path not in self._mounted:
            found = next(each for each in self._formats if each.name == look.format)
            self._mount(path, _Mounted(found, etag, look.entries))

    def look(self, path: DatasetPath, fd: int, version: Version, *, settled: bool) -> Look:
        """Return what is in a version of a file; log once why it can't be listed.

        Parameters
        ----------
        path : DatasetPath
        fd : int
            The open file.
        version : Version
        settled : bool
            Whether any further change of the file would have another etag.
        """
        found = next((each for each in self._formats if each.recognises(path, fd)), None)
        if found is None:
            self.drop(path)
            return PLAIN
        former = self._mounted.get(path)
        if former is not None and settled and former.etag == version.etag:
            return Look(found.name, former.entries)
        failure, now = self._failed.get(path), time.monotonic()
        failed = failure is not None and failure.etag == version.etag and now < failure.until
        if failed or now < self._usable_at:
            return Look(found.name, is_final=False)
        if now > self.until:
            self.left.add(path)
            self._failed.setdefault(path, _Failure(found, "", -math.inf, RETRY))  # to be closed
            return Look(found.name, is_final=False)
        self._tell(found, now)
        return self._list(path, found, version)

    def _list(self, path: DatasetPath, found: Format, version: Version) -> Look:
        try:
            entries = self._moved(path, found.open(path).scan())
        except (Busy, StaleVersion, NotFound):
            # It is being written, so that the next hint is near: until then the former list stands.
            former = self._mounted.get(path)
            return Look(found.name, former.entries if former else (), is_final=False)
        except StartError as error:
            self._usable_at = time.monotonic() + RETRY
            self._log(path, f"can't be listed: {error}", "")
            return Look(found.name, is_final=False)
        except CatervaError as error:
            self._fail(path, found, version.etag)
            self._log(path, f"is served as a file only: {error}", version.etag)
            return Look(found.name, is_final=False)
        self._failed.pop(path, None)
        self._mount(path, _Mounted(found, version.etag, entries))
        return Look(found.name, entries)

    def _mount(self, path: str, new: _Mounted) -> None:
        self._inside = self._others(path) + len(new.entries)
        self._mounted[path] = new

    def _others(self, path: str) -> int:
        """Return the number of datasets in all other containers."""
        former = self._mounted.get(path)
        return self._inside - (len(former.entries) if former is not None else 0)

    def _moved(self, path: DatasetPath, found: dict[DatasetPath, Entry]) -> tuple[Entry, ...]:
        """Return the entries of a container as those of the directory."""
        if self._others(path) + len(found) > self._most:
            raise TooLarge(
                f"with it the files have more than FILE_DATASETS, {self._most}, datasets"
            )
        moved = []
        for entry in found.values():
            if entry.kind == "group" and not self._groups:
                continue
            try:
                moved.append(replace(entry, path=containers.inside(path, entry.path)))
            except BadName as error:
                self._log(path, f"holds {entry.path!r}, which is left out: {error}", "")
        return tuple(moved)

    def _fail(self, path: str, found: Format, etag: str) -> None:
        former = self._failed.get(path)
        again = former is not None and former.etag == etag
        pause = 2 * former.pause if former is not None and again else RETRY
        self._unmount(path)
        self._failed[path] = _Failure(found, etag, time.monotonic() + pause, pause)

    def _tell(self, found: Format, now: float) -> None:
        self._count += 1
        if now - self._told >= PROGRESS:
            self._told = now
            log.info("looked into %d files so far, the last one is %s", self._count, found.name)

    def drop(self, path: str) -> None:
        """Close a container that is gone, or is none any more."""
        self.left.discard(path)
        failure = self._failed.pop(path, None)
        if not self._unmount(path) and failure is not None:
            failure.format.forget(path)

    def _unmount(self, path: str) -> bool:
        self._inside = self._others(path)
        former = self._mounted.pop(path, None)
        if former is not None:
            former.format.forget(path)
        return former is not None

    def keep(self, scope: str, paths: Collection[str]) -> None:
        """Close all other containers of a scope."""
        below = scope + "/"
        for path in [*self._mounted, *self._failed]:
            if path not in paths and (not scope or path == scope or path.startswith(below)):
                self.drop(path)

    # --- reading ---

    def container_of(self, path: str) -> str:
        """Return the container that a path leads into; empty if there is none."""
        if not self._mounted:
            return ""
        end = path.find("/")
        while end > 0:
            if path[:end] in self._mounted:
                return path[:end]
            end = path.find("/", end + 1)
        return ""

    def find(self, path: DatasetPath) -> Inside | None:
        """Return what a path leads to in a container; None if it leads into none."""
        container = self.container_of(path)
        mounted = self._mounted.get(container)
        if mounted is None:
            return None
        doubt = functools.partial(self._doubt, container)
        return Inside(mounted.format.open(container), container, path, doubt)

    def _doubt(self, container: str, path: DatasetPath, etag: str) -> None:
        """Have a container listed anew if its list has another version of a dataset."""
        mounted = self._mounted.get(container)
        if mounted is not None and any(
            entry.path == path and entry.etag != etag for entry in mounted.entries
        ):
            self._mounted[container] = replace(mounted, etag="")
            self._look_again(container)
