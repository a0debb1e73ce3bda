"""Making a backup while the service runs.

Files are copied without any lock, then those that changed meanwhile, and again, until few are
left. Then changes pause for one more round, which is short, and for what the service's kind adds
to it. So the backup has the state of that moment, and every file in it is whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from caterva2.limits.constants import MIB
from caterva2.runtime.statedir import RESTORING
from caterva2.state import manifest, tree
from caterva2.state.errors import BackupFailed
from caterva2.state.manifest import Head, Item
from caterva2.state.place import is_fixed, made_beside

STATE = "state"
"""Directory of a backup that has the files of the state directory."""
SETTINGS = "settings.toml"
"""Copy of the configuration file; for people, since it is restored nowhere."""
ROUNDS = 5
"""Rounds without a pause at most."""
FEW = 2 * MIB
"""Bytes of a round after which the next one pauses changes."""
ATTEMPTS = 5
"""Of copying a file that another program writes, in the last round."""
EMPTY: tree.Stamp = (0, 0, 0, 0)
"""Stands for the stamp of an empty directory."""
PAUSE = 25.0
"""Seconds after which a backup gives up that pauses changes."""
Progress = Callable[[int, int], None]
"""Called with the number of files and bytes so far."""


@dataclass(frozen=True)
class Kind:
    """Rules for copying the state directory of a service.

    Parameters
    ----------
    service : str
    wanted : callable
        Says whether a path in the state directory belongs to a backup; of the top, the empty one.
    grows : callable
        Says whether a file is written while it is copied, such that a copy is of use anyway.
    logs : tuple of str
        Files of lines that grow, of which whole lines are copied.
    links : tuple of str
        Directories that may be links to others.
    apart : callable
        Says whether a path is copied once, before all else, since it may be of another moment.
    pause : callable
        Returns the context in which files do not change.
    add : callable
        Writes into the copy of the state directory what is not copied, and returns the names.
    cache : bool
        Whether what was cached is wanted.
    """

    service: str
    wanted: Callable[[str], bool]
    grows: Callable[[str], bool] = lambda _: False
    logs: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    apart: Callable[[str], bool] = lambda _: False
    pause: Callable[[], AbstractContextManager[None]] = nullcontext
    add: Callable[[Path], Iterable[str]] = lambda _: ()
    cache: bool = False


@dataclass(slots=True)
class Report:
    """What a backup has, what is not in it for which reason, and how long changes paused."""

    files: int = 0
    nbytes: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    paused: float = 0.0


def make(
    kind: Kind,
    statedir: Path,
    target: Path,
    settings: Path | None = None,
    progress: Progress = lambda _files, _bytes: None,
) -> Report:
    """Make a backup of a state directory; it appears when it is complete.

    Parameters
    ----------
    kind : Kind
    statedir, target : Path
    settings : Path, optional
        The configuration file.
    progress : callable, optional

    Raises
    ------
    BackupFailed, OSError
        If it can't be made. There is no backup then.
    """
    if not statedir.is_dir():
        raise BackupFailed(f"{statedir} is no state directory")
    if (statedir / RESTORING).exists():
        raise BackupFailed(f"{statedir} has a part of a backup only: see docs/backup.md")
    for top in (statedir, *(statedir / link for link in kind.links)):
        if target.resolve().is_relative_to(top.resolve()):
            raise BackupFailed(f"{target} is within {top}: put backups elsewhere")
    if is_fixed(target):
        raise BackupFailed(f"{target} can't be renamed: name a directory in it that is not there")
    made = datetime.now(UTC).isoformat(timespec="seconds")
    with made_beside(target) as place:
        copying = _Copying(kind, statedir.resolve(), place / STATE, progress)
        copying.run()
        items = [replaced(item, f"{STATE}/{item.path}") for item in copying.items()]
        if settings is not None:
            items.append(replaced(_copied(settings, place / SETTINGS), SETTINGS))
        manifest.write(place / manifest.FILE, Head(kind.service, made, kind.cache), items)
    return copying.report


def replaced(item: Item, path: str) -> Item:
    """Return an item at another path."""
    return Item(path, item.size, item.mtime, item.digest)


def _copied(file: Path, target: Path) -> Item:
    source = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size, digest = tree.copy(source, target)
        return Item(file.name, size, os.fstat(source).st_mtime_ns, digest)
    finally:
        os.close(source)


class _Copying:
    """The copy of a state directory, brought in step with it round by round."""

    def __init__(self, kind: Kind, source: Path, target: Path, progress: Progress) -> None:
        self.report = Report()
        self._kind, self._source, self._target = kind, source, target
        self._progress = progress
        self._known: dict[str, tuple[tree.Stamp, Item]] = {}
        self._listings: dict[str, tree.Listing] = {}
        self._added: list[Item] = []
        self._until = float("inf")
        self._copied = 0
        tree.make_directory(target)

    def run(self) -> None:
        """Copy everything."""
        self._round(self._kind.wanted)
        for _ in range(ROUNDS):
            if self._round(self._in_step) < FEW:
                break
        with self._kind.pause():
            begun = time.monotonic()
            self._until = begun + PAUSE
            self._round(self._in_step, last=True)
            added = list(self._kind.add(self._target))
            self.report.paused = time.monotonic() - begun
        for name in added:
            self._added.append(self._digested(name))

    def items(self) -> list[Item]:
        """Return what was copied, and count it."""
        items = [item for _, item in self._known.values()] + self._added
        self.report.files = sum(bool(item.digest) for item in items)
        self.report.nbytes = sum(item.size for item in items)
        return sorted(items, key=lambda item: item.path)

    def _in_step(self, path: str) -> bool:
        return self._kind.wanted(path) and not self._kind.apart(path)

    def _round(self, wanted: Callable[[str], bool], last: bool = False) -> int:
        """Copy what is not known as it is now, drop what is gone, and return the bytes.

        In the last round, while changes pause, only directories that changed are listed.
        """
        former = {path: one for path, one in self._listings.items() if wanted(path[:-1])}
        found = {}
        survey = tree.Survey(self._source, wanted, self._kind.links, former if last else {})
        for listing in survey.listings():
            self._check_time()
            found[listing.path] = listing
        self._listings |= found
        changed = [one for path, one in found.items() if one is not former.get(path)]
        self._drop_gone(former, found, wanted)
        copied = 0
        for one in (each for listing in changed for each in listing.found):
            if one.left_out:
                self.report.left_out[one.path] = one.left_out
            elif one.stamp is None:
                tree.make_directory(self._target / one.path)
                self._known[one.path] = (EMPTY, Item(one.path))
            elif one.path not in self._known or self._known[one.path][0] != one.stamp:
                copied += self._copy(one.path, last)
        return copied

    def _drop_gone(
        self,
        former: Mapping[str, tree.Listing],
        found: Mapping[str, tree.Listing],
        wanted: Callable[[str], bool],
    ) -> None:
        """Drop what directories had that are gone or have changed, and have no more."""
        for path, before in former.items():
            now = found.get(path)
            if now is before:
                continue
            left = {one.path for one in now.found if not one.left_out} if now else set()
            for one in before.found:
                if one.path in self._known and one.path not in left and wanted(one.path):
                    self._drop(one.path)
            if now is None:
                del self._listings[path]

    def _drop(self, path: str) -> None:
        self._known.pop(path, None)
        place = self._target / path
        with contextlib.suppress(OSError):
            place.rmdir() if place.is_dir() else place.unlink()
        with contextlib.suppress(OSError):  # up to a directory with something in it
            while (place := place.parent) != self._target:
                place.rmdir()

    def _copy(self, path: str, last: bool) -> int:
        """Copy a file; in the last round, until it was not written meanwhile."""
        for _ in range(ATTEMPTS):
            self._check_time()
            if path in self._known:
                self._drop(path)
            whole = self._copy_once(path)
            if not whole:  # it is looked at again, though changes of names show in no other way
                self._distrust(path)
            if whole or not last or self._kind.grows(path) or path in self._kind.logs:
                break
        else:
            self.report.torn.append(path)
        size = self._known[path][1].size if path in self._known else 0
        self._copied += size
        self._progress(len(self._known), self._copied)
        return size

    def _distrust(self, path: str) -> None:
        """Have the directory of a file listed again in any case."""
        directory = path[: path.rfind("/") + 1]
        self._listings[directory] = dataclasses.replace(self._listings[directory], stamp=None)

    def _check_time(self) -> None:
        if time.monotonic() > self._until:
            raise BackupFailed(
                f"more changes meanwhile than can be copied in {PAUSE:.0f} s: try again later"
            )

    def _copy_once(self, path: str) -> bool:
        """Copy a file, and return whether nothing wrote to it meanwhile."""
        try:
            source = tree.open_below(self._source, path, self._kind.links)
        except OSError as error:
            if error.errno in tree.GONE:
                return True
            raise BackupFailed(f"{path} can't be read: {error.strerror}") from None
        try:
            before = os.fstat(source)
            cut = path in self._kind.logs
            size, digest = tree.copy(source, self._target / path, cut, self._check_time)
            item = Item(path, size, before.st_mtime_ns, digest)
            self._known[path] = (tree.stamp_of(before), item)
            return tree.stamp_of(os.fstat(source)) == tree.stamp_of(before)
        finally:
            os.close(source)

    def _digested(self, name: str) -> Item:
        """Return the item of a file that was added to the copy."""
        file = os.open(self._target / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size, digest = tree.digest_of(file)
            return Item(name, size, os.fstat(file).st_mtime_ns, digest)
        finally:
            os.close(file)
