"""Passwords from a terminal or standard input, never shown."""

from __future__ import annotations

import getpass
import sys

from caterva2.errors import ConfigError

_LINE = 16 * 1024  # characters that are read of a line, more than any password has


def known(prompt: str) -> str:
    """Read a password from the terminal, or else a line of standard input."""
    if sys.stdin.isatty():
        try:
            return getpass.getpass(prompt)
        except EOFError:
            raise ConfigError("no password was given") from None
    line = sys.stdin.readline(_LINE)
    text = line.rstrip("\r\n")
    if not text:
        raise ConfigError("no password: the first line of standard input must contain it")
    return text


def new(prompt: str) -> str:
    """Read a new password, twice if from a terminal."""
    text = known(prompt)
    if sys.stdin.isatty() and known("Once more: ") != text:
        raise ConfigError("the two passwords differ")
    return text
