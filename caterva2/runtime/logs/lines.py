"""Lines of a log: what others wrote into an event forges no line, and controls no terminal."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from caterva2.runtime.printable import printable

_PRIORITIES = (
    (logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6),
)  # fmt: skip
"""Those of syslog, by the lowest level that has it."""
_DEBUG = 7
_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "color_message",
}  # fmt: skip
"""Attributes of a record that are not given with ``extra``."""


class TextLines(logging.Formatter):
    """A line for each event, with its time; an exception follows it in indented lines."""

    def __init__(self, shown: str = "%(asctime)s %(levelname)s %(name)s: %(message)s") -> None:
        super().__init__(shown)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        text = printable(super().formatException(ei), keep="\n")
        return "\n".join(f"  {line}" for line in text.split("\n"))  # its message may have several


class JournalLines(TextLines):
    """Lines for the journal of systemd, which notes their time, and has their priority ahead."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        priority = next((p for level, p in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


class JsonLines(logging.Formatter):
    """An object of JSON on one line for each event, with what was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        extra = {key: _plain(value) for key, value in vars(record).items() if key not in _KNOWN}
        line = {
            "time": time_of(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(extra | line)


def time_of(seconds: float) -> str:
    """Return a time since 1970 as text: in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
