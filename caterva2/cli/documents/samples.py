"""``caterva2 settings``: the sample files of settings, and what they say about each."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import caterva2

ALL, STANDALONE = "caterva2.sample.toml", "caterva2-standalone.sample.toml"
_PACKAGE = Path(caterva2.__file__).parent
PLACES = (_PACKAGE / "conf", _PACKAGE.parent / "conf")
"""Of an installed package, and of a checkout."""
_SECTION = re.compile(r"\[([a-z.]+)\]|# \[(limits\.[a-z]+)\]")
_SETTING = re.compile(r"(# )?([a-z0-9_]+) = (.*?)(?:  +# (.*))?")


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting as a sample shows it.

    Parameters
    ----------
    section, name : str
    value : str
        Its default, or an example if there is none.
    text : str
        What it is.
    is_default : bool
        Whether the value is one that could as well be left out.
    """

    section: str
    name: str
    value: str
    text: str
    is_default: bool


def sample(name: str = ALL) -> str:
    """Return a sample file of settings."""
    found = next(path for place in PLACES if (path := place / name).exists())
    return found.read_text()


def settings(text: str) -> Iterator[Shown]:
    """Yield the settings and limits of a sample, in their order."""
    section = ""
    for line in text.splitlines():
        if match := _SECTION.fullmatch(line):
            section = match[1] or match[2]
        elif line.startswith(("#", "[")) and not _SETTING.fullmatch(line):
            section = "" if "[" in line else section  # an example of one of several services
        elif section and (match := _SETTING.fullmatch(line)):
            plain = section.startswith("limits.") or not match[1]
            yield Shown(section, match[2], match[3], match[4] or "", plain)


def run(options: argparse.Namespace) -> int:
    """Print a sample, and return the exit code."""
    print(sample(STANDALONE if options.standalone else ALL), end="")
    return 0
