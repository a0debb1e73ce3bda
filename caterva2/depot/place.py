"""Where a cache is, and which part of it belongs to a user of a subscriber."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import socket
import stat
from pathlib import Path

from caterva2.client.login import SessionTransport
from caterva2.client.tokens import TokenTransport
from caterva2.client.transport import Transport
from caterva2.runtime import durable

_OWNER = "owner.json"
_OCTAL = re.compile(r"\\([0-7]{3})")
_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = re.compile(r"nfs|cifs|smb|lustre|gpfs|beegfs|ceph|afs|9p|fuse|gluster|panfs|weka|orange")
"""Types of file systems of which other machines may change files at once."""


def user_directory() -> Path:
    """Return the user's directory for caches, by the rules of XDG."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    return home / "caterva2"


def directory_of(cache: bool | str | os.PathLike[str]) -> Path:
    """Return the directory that a client's ``cache`` names; True is the user's own."""
    return user_directory() if isinstance(cache, bool) else Path(os.fspath(cache)).absolute()


def owner_of(transport: Transport) -> str:
    """Return what tells the users of a subscriber apart; a token is not in it, but its digest."""
    if isinstance(transport, SessionTransport):
        return f"user {transport.session.auth[0]}"
    if isinstance(transport, TokenTransport):
        return f"token {transport.digest}"
    return "anonymous"


def own_directory(directory: Path, transport: Transport) -> Path:
    """Make and return the part of a cache for one user of one subscriber.

    What one user may read is never found by another one, nor that of another subscriber. Machines
    that share a file system have parts of their own: what one maps into memory, others don't see.

    Raises
    ------
    OSError
        If it can't be made, or other users of the system may write to it.
    """
    owner = {"url": transport.urlbase.rstrip("/"), "owner": owner_of(transport)}
    if _is_shared(directory):
        owner["machine"] = socket.gethostname()
    own = directory / _name(owner)
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = own.lstat()  # a link may lead to a directory of this user that is no cache
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{own} is a link, or belongs to another user")
    if status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, f"other users may write to {own}")
    if not (own / _OWNER).exists():
        durable.write(own / _OWNER, json.dumps(owner).encode())
    return own


def _name(owner: dict[str, str]) -> str:
    return hashlib.blake2b("\0".join(owner.values()).encode(), digest_size=16).hexdigest()


def _is_shared(directory: Path) -> bool:
    """Return whether a directory is on a file system of the network."""
    place = Path(os.path.realpath(directory))
    found = (0, "")
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), before.split(" ")[4])
            if place.is_relative_to(point) and len(point) >= found[0]:
                found = len(point), after.split(" ")[0]
    return _NETWORK.match(found[1]) is not None


def owners(directory: Path) -> dict[Path, dict[str, str]]:
    """Return the parts of a cache, each with its ``url`` and ``owner``."""
    found: dict[Path, dict[str, str]] = {}
    for note in sorted(directory.glob(f"*/{_OWNER}")):
        try:
            content = {str(name): str(text) for name, text in json.loads(note.read_text()).items()}
            if note.parent.name == _name(content):  # else it is no part of a cache
                found[note.parent] = {name: content[name] for name in ("url", "owner")}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found
