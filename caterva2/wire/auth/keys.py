"""The key pair of a service, and the file that it lives in."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import zmq
from zmq.utils import z85

from caterva2.errors import ConfigError, StartError
from caterva2.runtime import statefile
from caterva2.wire.auth.policy import KEY

T = TypeVar("T")
FILE = "key"
"""In the state directory of a service."""
FORMAT = 1
_BYTES = 4096
"""Of a key's file at most."""


@dataclass(frozen=True, slots=True)
class Keypair:
    """A CURVE key pair; the secret half appears in no text.

    ``public`` is written in hexadecimal, ``secret`` has the 32 bytes.
    """

    public: str
    secret: bytes = field(repr=False)

    @classmethod
    def of_secret(cls, secret: bytes) -> Keypair:
        """Return the pair of a secret key."""
        public = zmq.curve_public(z85.encode(secret))
        return cls(z85.decode(public).hex(), secret)


def make() -> Keypair:
    """Return a new pair, of the random numbers of the system."""
    _, secret = zmq.curve_keypair()
    return Keypair.of_secret(z85.decode(secret))


def checked(text: str) -> str:
    """Return a public key that was written by people, or raise `ConfigError`."""
    key = text.strip().lower()
    if not KEY.fullmatch(key):
        raise ConfigError(f"{text[:80]!r} is not a public key: these have 64 digits of 0-9 a-f")
    return key


def write(path: Path, pair: Keypair) -> None:
    """Replace a key's file durably; only its owner can read it.

    Raises
    ------
    OSError
        If writing failed; the old file is still there then.
    """
    content = {"public": pair.public, "secret": pair.secret.hex()}
    statefile.write(path, FORMAT, content)  # through a temporary file, which has the mode 0600


def read(path: Path) -> Keypair | None:
    """Read a key's file; None if there is none.

    Raises
    ------
    StartError
        If others may read it, or it is damaged: a new key would be one that nobody admits, so
        none is made instead.
    """
    content = read_private(path, FORMAT)
    if content is None:
        return None
    try:
        pair = Keypair.of_secret(bytes.fromhex(content["secret"]))
    except (ValueError, KeyError, TypeError, zmq.ZMQError):
        pair = None
    if pair is None or pair.public != content["public"]:
        raise StartError(
            f"key {path} is damaged: restore it from a backup, or remove it and have the new one"
            " admitted where the old one was"
        )
    return pair


def read_or_make(path: Path) -> Keypair:
    """Read a key's file, or make it with a new pair at the first start.

    Raises
    ------
    StartError
        If it can't be read, used or written.
    """
    return first_made(path, read, make, write)


def first_made(
    path: Path,
    read: Callable[[Path], T | None],
    make: Callable[[], T],
    write: Callable[[Path, T], None],
) -> T:
    """Read a key of any kind, or make and write it at the first start.

    Raises
    ------
    StartError
        If it can't be read, used or written.
    """
    key = read(path)
    if key is None:
        key = make()
        try:
            write(path, key)
        except OSError as error:
            raise StartError(f"key {path} can't be written: {error.strerror}") from None
    return key


def read_private(path: Path, newest: int) -> Any:
    """Read a file with a secret as JSON; None if there is none, nothing if that is damaged.

    Raises
    ------
    StartError
        If others may read it, it can't be read, or its format is newer than one.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            _refuse_loose(path, os.fstat(file.fileno()))
            data = file.read(_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(f"key {path} can't be read: {error.strerror}") from None
    try:
        content = json.loads(data)
        statefile.refuse_newer(path, statefile.format_of(content), newest)
    except ValueError:
        return {}
    return content


def _refuse_loose(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StartError(f"key {path} is not a file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise StartError(f"key {path} has mode {mode:04o}, so others can use it: chmod 600 {path}")
