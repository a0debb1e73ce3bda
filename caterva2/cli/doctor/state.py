"""State directories: rights, locks, room and keys."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from caterva2.cli.doctor.configuration import Configured
from caterva2.cli.doctor.finding import Finding
from caterva2.errors import CatervaError
from caterva2.wire.auth import keys, list_file
from caterva2.wire.auth.allow_list import AllowList

SECRETS = ("key", "key.old", "accounts.sqlite")
"""Files that only their owner may read."""
ROOM = 10**9


def look(service: Configured) -> Iterator[Finding]:
    """Yield what is wrong with the state directory of a service; nothing if there is none yet."""
    path = service.statedir
    if _is_hidden(path):
        yield Finding("wrong", str(path), "this user may not look into it",
                      "run caterva2 doctor as the user of the service")  # fmt: skip
        return
    if not path.exists():
        if service.given:
            yield _makeable(service)
        return
    found = [*_rights(path), *_room(path), *_keys(path)]
    yield from found
    if not found:
        state = "a service runs in it" if is_held(path) else "no service runs in it"
        yield Finding("ok", str(path), state)


def _is_hidden(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError as error:  # perhaps of a directory above it
        return isinstance(error, PermissionError)
    return stat.S_ISDIR(mode) and not os.access(path, os.R_OK | os.X_OK)


def is_held(path: Path) -> bool:
    """Return whether a service has the directory, or may have it."""
    try:
        lock = os.open(path / "lock", os.O_RDWR)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _makeable(service: Configured) -> Finding:
    path = service.statedir.absolute()
    parent = next(each for each in path.parents if each.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        advice = f"mkdir {path} and chown it to the user of the service"
        return Finding("wrong", str(path), f"it can't be made in {parent}", advice)
    return Finding("ok", str(path), "will be made when its service starts")


def _rights(path: Path) -> Iterator[Finding]:
    if not path.is_dir():
        yield Finding("wrong", str(path), "it is no directory", "choose another statedir")
        return
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("wrong", str(path), "this user may not write there",
                      "chown it to the user of the service")  # fmt: skip
    owner = path.stat().st_uid
    strangers = [each.name for each in path.iterdir() if each.lstat().st_uid != owner]
    if strangers:
        yield Finding("wrong", str(path), f"{', '.join(sorted(strangers)[:3])} has another owner",
                      f"chown -R {owner} {path}")  # fmt: skip
    for name in SECRETS:
        file = path / name
        if file.exists() and file.stat().st_mode & 0o077:
            yield Finding("wrong", str(file), "others may read it", f"chmod 600 {file}")


def _room(path: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(path).free
    if free < ROOM:
        yield Finding("note", str(path), f"{free / 1e6:,.0f} MB are free on its disk",
                      "make room, or set quota")  # fmt: skip


def _keys(path: Path) -> Iterator[Finding]:
    try:
        keys.read(path / keys.FILE)
        text = list_file.read(path / list_file.FILE)
    except (CatervaError, OSError) as error:
        yield Finding("wrong", str(path), str(error), "cat2keys check says more")
        return
    for problem in AllowList.parse(text).problems if text else ():
        yield Finding("wrong", str(path / list_file.FILE), str(problem), "correct the line")
