"""Lines of the log: for people, for the journal of systemd, and as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caterva2.runtime.logs.bounded import BoundedLog
from caterva2.runtime.logs.lines import JournalLines, JsonLines, TextLines
from caterva2.runtime.logs.log import is_journal
from tests.conftest import eventually

FORGED = "a name\n2026-01-01 ERROR forged\x1b[31m\u2028"


def event(level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("caterva2.x", level, "x.py", 1, "root %s", (FORGED,), None)
    record.created = 1_000_000_000.25
    vars(record).update(extra)
    return record


def failed() -> logging.LogRecord:
    try:
        raise ValueError(FORGED)
    except ValueError:
        record = event(logging.ERROR)
        record.exc_info = sys.exc_info()
        return record


@pytest.mark.parametrize("shape", [TextLines(), JournalLines(), JsonLines()])
def test_an_event_is_one_line_whatever_it_holds(shape: logging.Formatter) -> None:
    line = shape.format(event())
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\x1b" not in shape.format(failed())


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3),
        (logging.CRITICAL, 2),
    ],
)  # fmt: skip
def test_lines_for_the_journal_have_a_priority_and_no_time(level: int, priority: int) -> None:
    assert JournalLines().format(event(level)).startswith(f"<{priority}>caterva2.x: root a name")


def test_an_exception_forges_no_event() -> None:
    _, *more = TextLines().format(failed()).splitlines()
    assert any("forged" in line for line in more)
    assert all(line.startswith("  ") for line in more)


def test_all_lines_of_an_exception_have_its_priority() -> None:
    lines = JournalLines().format(failed()).splitlines()
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)


def test_a_line_of_json_has_what_was_given_with_the_event() -> None:
    line = json.loads(
        JsonLines().format(
            event(root="foo", seconds=0.5, odd={1}, message="no", logger="no", color_message="")
        )
    )
    assert line.pop("message") == f"root {FORGED}"
    assert line == {
        "time": "2001-09-09T01:46:40.250+00:00", "level": "info", "logger": "caterva2.x",
        "root": "foo", "seconds": 0.5, "odd": "{1}",
    }  # fmt: skip
    assert "ValueError" in json.loads(JsonLines().format(failed()))["exception"]


def test_the_journal_is_known_by_its_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        status = os.fstat(file.fileno())
        ours = f"{status.st_dev}:{status.st_ino}"
        assert is_journal(file.fileno(), {"JOURNAL_STREAM": ours})
        assert not is_journal(file.fileno(), {"JOURNAL_STREAM": f"{ours}1"})
        assert not is_journal(file.fileno(), {})
    assert not is_journal(10_000, {"JOURNAL_STREAM": ours})


LOGGED = """
import logging, os, sys
from caterva2.runtime.logs.log import complain, start_log
status = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
for level, shape in (("info", "auto"), ("info", "text"), ("debug", "text"), ("error", "json")):
    logging.root.handlers.clear()
    start_log(level, shape)
    for name in ("caterva2.x", "numexpr.utils", "caterva2x"):
        logging.getLogger(name).info("%s %s", level, shape)
        logging.getLogger(name).error("%s %s", level, shape)
    complain("cat2x", "line\\nbreak")
"""


def test_foreign_loggers_are_heard_from_warnings_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGGED], capture_output=True, text=True, check=True, timeout=60
    )
    journal, text, everything, rest = done.stderr.split("break", 3)
    assert journal.split("\n") == [
        "<6>caterva2.x: info auto", "<3>caterva2.x: info auto", "<3>numexpr.utils: info auto",
        "<3>caterva2x: info auto", r"<3>cat2x: line\n",
    ]  # fmt: skip
    assert [line.split(" ")[2:4] for line in text.strip().split("\n")[:-1]] == [
        ["INFO", "caterva2.x:"], ["ERROR", "caterva2.x:"], ["ERROR", "numexpr.utils:"],
        ["ERROR", "caterva2x:"],
    ]  # fmt: skip
    assert text.endswith("\n" + r"cat2x: line\n")
    assert time.strftime("%Y-") in text
    assert everything.count("debug text") == 6
    lines = [json.loads(line) for line in (rest + "break").strip().split("\n") if "{" in line]
    assert [line["logger"] for line in lines] == [
        "caterva2.x", "numexpr.utils", "caterva2x", "cat2x",
    ]  # fmt: skip


def test_what_others_cause_is_counted_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        bounded = BoundedLog(logging.getLogger("caterva2.x"), most=2, seconds=0.05)
        for n in range(1000):
            bounded.note(logging.WARNING, "refused %d", n)
        await asyncio.to_thread(eventually, lambda: len(caplog.messages) == 3)
        bounded.note(logging.WARNING, "refused again")

    caplog.set_level(logging.INFO)
    asyncio.run(go())
    left_out = "998 more lines of this kind, of 0.05 s, were left out"
    assert caplog.messages == ["refused 0", "refused 1", left_out, "refused again"]
