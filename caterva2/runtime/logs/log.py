"""The log of a service on standard error, as its reader understands it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Literal

from caterva2.runtime.logs.lines import JournalLines, JsonLines, TextLines
from caterva2.runtime.printable import printable

LogFormat = Literal["auto", "text", "journal", "json"]
JOURNAL = "JOURNAL_STREAM"
"""Variable with the device and inode of what systemd connects with its journal."""
_OURS = "caterva2"
_FORMATTERS = {"text": TextLines, "journal": JournalLines, "json": JsonLines}


def start_log(level: str, shape: LogFormat = "auto") -> None:
    """Log to standard error: lines for the journal of systemd if it reads them, else text.

    Libraries are heard from warnings on, or where everything is.
    """
    if shape == "auto":
        shape = "journal" if is_journal(_descriptor(), os.environ) else "text"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[shape]())
    handler.addFilter(_concerns_us)
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _descriptor() -> int:
    try:
        return sys.stderr.fileno()
    except OSError:  # a program that runs a command in its own process caught the output
        return -1


def is_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Return whether what is written to a descriptor goes to the journal of systemd."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get(JOURNAL) == f"{status.st_dev}:{status.st_ino}"


def _concerns_us(record: logging.LogRecord) -> bool:
    if record.levelno < logging.root.level:  # it is for an audit log only
        return False
    ours = record.name == _OURS or record.name.startswith(f"{_OURS}.")
    return ours or record.levelno >= logging.WARNING or logging.root.level <= logging.DEBUG


def complain(prog: str, text: str) -> None:
    """Print why a command ends: a line in the form of its log, or plainly if it is for people."""
    shapes = [one.formatter for one in logging.root.handlers]
    shape = next((one for one in shapes if isinstance(one, JournalLines | JsonLines)), None)
    if shape is None:
        print(f"{prog}: {printable(text)}", file=sys.stderr)
    else:
        said = logging.LogRecord(prog, logging.ERROR, "", 0, text, None, None)
        print(shape.format(said), file=sys.stderr)
