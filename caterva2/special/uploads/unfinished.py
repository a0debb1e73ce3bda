"""Unfinished uploads: files that arrive by several requests, and go on after a restart.

Each is a directory: ``about.json`` says what it becomes, and ``content`` has what arrived. The
note is written first, and the content is renamed into place last; so a directory that lacks one of
both is none.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from caterva2.errors import NotFound, SlowDown
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.runtime import durable
from caterva2.runtime.lru import Lru
from caterva2.runtime.statedir import boot
from caterva2.special.incoming import Staged, remove
from caterva2.special.quota import SpecialQuota
from caterva2.special.uploads.archives import Archive

_IDENT = re.compile(r"[0-9a-f]{24}")
_ABOUT, _CONTENT = "about.json", "content"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an upload becomes.

    Parameters
    ----------
    root, path : str
    size : int
        Bytes of the file.
    tag : str
        By which its client finds it again.
    archive : Archive or None
        Kind of the archive whose content is stored; None for a file.
    conditions : mapping of str to str
        Headers of the request that began it, which have to hold when it ends.
    """

    root: str
    path: str
    size: int
    tag: str = ""
    archive: Archive | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)


class Unfinished:
    """An upload, and what has arrived of it.

    Parameters
    ----------
    directory : Path
    owner : str
        Ident of the user who sends it.
    plan : Plan
    quota : SpecialQuota
    touched : float
        When something arrived, in seconds since 1970.
    """

    def __init__(
        self, directory: Path, owner: str, plan: Plan, quota: SpecialQuota, touched: float
    ) -> None:
        self.ident = directory.name
        self.owner = owner
        self.plan = plan
        self.touched = touched
        self.sending = False
        """Whether a request sends it now; only this request changes it then."""
        self.complete = False
        self.staged = Staged(directory / _CONTENT, quota)
        self._directory = directory
        self._discarding = threading.Lock()

    @property
    def place(self) -> str:
        """``ROOT/PATH`` of what it becomes."""
        return f"{self.plan.root}/{self.plan.path}"

    @property
    def offset(self) -> int:
        """Bytes that have arrived."""
        return self.size if self.complete else self.staged.counted

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.plan.size

    @property
    def tag(self) -> str:
        """Text by which its client finds it again."""
        return self.plan.tag

    @property
    def conditions(self) -> Mapping[str, str]:
        """Headers of the request that began it."""
        return self.plan.conditions

    def settle(self, touched: float) -> None:
        """Count what has arrived and was flushed, and note it."""
        self.touched = touched
        self.staged.recount(self.staged.path.stat().st_size)
        self.note()

    def make(self) -> None:
        """Make its directory, with the note and without content."""
        self._directory.mkdir(mode=0o700)
        self.staged.open().close()
        self.note()
        durable.sync_directory(self._directory.parent)

    def note(self) -> None:
        """Write the note."""
        about = {
            "owner": self.owner, "touched": self.touched, "flushed": self.offset, "boot": boot(),
            "plan": asdict(self.plan),
        }  # fmt: skip
        durable.write(self._directory / _ABOUT, json.dumps(about).encode())

    @classmethod
    def read(cls, directory: Path, quota: SpecialQuota) -> Unfinished | None:
        """Read an upload from its directory; None if it is none."""
        try:
            about: Any = json.loads((directory / _ABOUT).read_bytes())
            plan = Plan(**about["plan"])
            made = cls(directory, str(about["owner"]), plan, quota, float(about["touched"]))
            size = min(made.staged.path.stat().st_size, plan.size)
            if about["boot"] != boot():  # a loss of power takes what was not flushed
                size = min(size, int(about["flushed"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        made.staged.recount(size)
        return made

    def discard(self) -> None:
        """Remove its files, but for what was renamed into place."""
        with self._discarding:  # its bytes are released once, whatever else gives it up
            remove(self._directory / _ABOUT)
            self.staged.discard()
            remove(self._directory)


def missing(ident: str) -> NotFound:
    """Return the error for an upload that its sender does not have."""
    return NotFound(f"there is no unfinished upload {ident[:40]!r}: begin it anew")


class UnfinishedUploads:
    """The directory of unfinished uploads; methods block, and may be called from any thread.

    Parameters
    ----------
    directory : Path
        On the file system of the special roots; made if it is missing.
    quota : SpecialQuota
        Counts what has arrived.
    limits : SpecialLimits
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        directory: Path,
        quota: SpecialQuota,
        limits: SpecialLimits = DEFAULTS.special,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.quota = quota
        self.clock = clock
        self._directory = directory
        self._limits = limits
        self._lock = threading.Lock()  # the event loop takes it too, so none holds it during I/O
        self._beginning = threading.Lock()
        self._all: dict[str, Unfinished] = {}
        self._complete: Lru[str, Unfinished] = Lru(limits.unfinished)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in directory.iterdir():
            found = Unfinished.read(path, quota) if _IDENT.fullmatch(path.name) else None
            if found is None:
                remove(path)
            else:
                self._all[found.ident] = found

    def begin(
        self, owner: str, plan: Plan, check_room: Callable[[int], None] = lambda _: None
    ) -> Unfinished:
        """Return a user's upload of this plan, or begin one.

        Parameters
        ----------
        owner : str
        plan : Plan
        check_room : callable
            Raises `QuotaExceeded` if the root has no room for so many bytes, which are those of
            all unfinished uploads of the user to it.

        Raises
        ------
        QuotaExceeded, SlowDown
        """
        with self._beginning:  # so that equal ones find each other
            self.expire()
            with self._lock:
                mine = [one for one in self._all.values() if one.owner == owner]
            for one in mine:
                if plan.tag and one.plan == plan:
                    return one
            self.quota.check(plan.size)
            check_room(plan.size + sum(one.size for one in mine if one.plan.root == plan.root))
            self._check_number(len(mine))
            directory = self._directory / secrets.token_hex(12)
            made = Unfinished(directory, owner, plan, self.quota, self.clock())
            try:
                made.make()
            except BaseException:
                made.discard()
                raise
            with self._lock:
                self._all[made.ident] = made
        return made

    def _check_number(self, mine: int) -> None:
        for name, count, most in (
            ("USER_UNFINISHED", mine, self._limits.user_unfinished),
            ("UNFINISHED", len(self._all), self._limits.unfinished),
        ):
            if count >= most:
                raise SlowDown(f"too many unfinished uploads ({name}={most})", after_ms=2000)

    def of(self, owner: str) -> list[Unfinished]:
        """Return the uploads of a user, the last one first."""
        self.expire()
        with self._lock:
            mine = [one for one in self._all.values() if one.owner == owner]
        return sorted(mine, key=lambda one: one.touched, reverse=True)

    def get(self, ident: str, owner: str) -> Unfinished:
        """Return an upload of a user, which may be complete by now.

        Raises
        ------
        NotFound
        """
        with self._lock:
            found = self._all.get(ident) or self._complete.get(ident)
        if found is None or found.owner != owner:
            raise missing(ident)
        return found

    def holds(self, upload: Unfinished) -> bool:
        """Return whether an upload was not dropped."""
        return self._all.get(upload.ident) is upload

    def completed(self, upload: Unfinished) -> None:
        """Forget all of an upload, but that it is complete."""
        upload.complete = True
        with self._lock:
            self._all.pop(upload.ident, None)
            self._complete.put(upload.ident, upload)
        upload.discard()

    def drop(self, upload: Unfinished) -> None:
        """Give an upload up; if a request sends it, its files are removed by that request."""
        with self._lock:
            self._all.pop(upload.ident, None)
        if not upload.sending:
            upload.discard()

    def expire(self) -> None:
        """Drop what nothing has arrived of for long enough."""
        until = self.clock() - 86400.0 * self._limits.unfinished_days
        with self._lock:
            old = [one for one in self._all.values() if one.touched <= until and not one.sending]
        for one in old:
            self.drop(one)
