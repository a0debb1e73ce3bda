"""Passwords that people type: never shown, and never an argument that others see."""

from __future__ import annotations

import getpass
import sys

from caterva2 import limits
from caterva2.errors import ConfigError


def known(prompt: str) -> str:
    """A password that somebody has; one line of standard input where that is no terminal."""
    if sys.stdin.isatty():
        try:
            return getpass.getpass(prompt)
        except EOFError:
            raise ConfigError("no password was given") from None
    line = sys.stdin.readline(limits.FORM_BYTES)
    text = line.rstrip("\r\n")
    if not text:
        raise ConfigError("no password: standard input has to begin with a line that holds it")
    return text


def new(prompt: str) -> str:
    """A password to be set, which is asked for twice at a terminal."""
    text = known(prompt)
    if sys.stdin.isatty() and known("Once more: ") != text:
        raise ConfigError("these were two different passwords")
    return text
