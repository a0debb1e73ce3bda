"""Man pages of all commands, from their parsers: ``python -m caterva2.cli.documents``.

An installation puts them where ``man`` finds them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
from pathlib import Path

from argparse_manpage.manpage import Manpage

from caterva2.cli.documents import settings_page
from caterva2.cli.documents.completions import COMMANDS
from caterva2.version import __version__

_USAGE = re.compile(r"^(usage: (?:.+\n)+)", re.MULTILINE)
_DATA = {
    "project_name": "caterva2",
    "version": __version__,
    "manual_title": "Caterva2",
    "date": "2026-11-22",  # fixed, so that the pages are reproducible
}


def page(command: str) -> str:
    """Return the man page of a command, in roff."""
    os.environ["COLUMNS"] = "80"  # the width to which argparse wraps
    parser: argparse.ArgumentParser = importlib.import_module(
        f"caterva2.cli.{command}"
    ).make_parser()
    return _corrected(f"{Manpage(parser, _data=dict(_DATA))}", command, parser)


def settings() -> str:
    """Return the man page of the settings, in roff."""
    version = f"{_DATA['project_name']} {_DATA['version']}"
    return settings_page.page(_DATA["date"], version)


def _corrected(text: str, command: str, parser: argparse.ArgumentParser) -> str:
    """Add what ``whatis`` finds, keep the lines of usages, and name the other pages."""
    short = (parser.description or "").partition(".")[0]
    named = f"{command} \\- {settings_page.escaped(short[:1].lower() + short[1:])}"
    text = text.replace(f".SH NAME\n{command}\n", f".SH NAME\n{named}\n", 1)
    text = _USAGE.sub(r".nf\n\1.fi\n", text)
    others = [f".BR {other} (1)" for other in COMMANDS if other != command]
    pages = ",\n".join([*others, f".BR {settings_page.PAGE} (5)"])
    return f"{text.rstrip()}\n.SH SEE ALSO\n{pages}\n"


def write(directory: Path) -> None:
    """Write the man pages of all commands, and that of the settings into a directory beside."""
    directory.mkdir(parents=True, exist_ok=True)
    for command in COMMANDS:
        (directory / f"{command}.1").write_text(page(command))
    section = directory.with_name(f"{directory.name}5")
    section.mkdir(exist_ok=True)
    (section / f"{settings_page.PAGE}.5").write_text(settings())
