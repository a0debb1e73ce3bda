"""The access log and the audit log: kept apart, bounded, never in the way of requests."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from caterva2.errors import StartError
from caterva2.runtime.logs import records as records_module
from caterva2.runtime.logs.records import KeptRecords, NoRecords, records
from caterva2.runtime.logs.requests import Message, RequestRecords, Scope
from tests.conftest import eventually


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def app(scope: Scope, receive: object, send: Callable[[Message], Any]) -> None:
    """Answer as the path says, as a user."""
    scope.setdefault("state", {})["user"] = SimpleNamespace(email="ann@example.com")
    if scope["path"] == "/broken":
        raise RuntimeError("no answer")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"12345", "more_body": True})
    await send({"type": "http.response.body", "body": b"67", "more_body": False})


def ask(kept: RequestRecords, method: str, path: str) -> None:
    async def send(message: Message) -> None:
        pass

    async def receive() -> Message:
        return {}

    scope = {
        "type": "http", "method": method, "path": path, "client": ("10.0.0.1", 1),
        "query_string": b"token=secret", "headers": [(b"authorization", b"secret")],
    }  # fmt: skip
    asyncio.run(kept.around(app)(scope, receive, send))


def test_requests_are_recorded_with_who_and_what(tmp_path: Path) -> None:
    forged = '/api/fetch/foo/a\n"}{\u2028\x1b'
    with RequestRecords(str(tmp_path / "access"), str(tmp_path / "audit")) as kept:
        ask(kept, "GET", forged)
        ask(kept, "POST", "/api/remove/@shared/a.b2nd")
        with pytest.raises(RuntimeError):
            ask(kept, "GET", "/broken")
    read, removed, broken = lines(tmp_path / "access")
    assert read.pop("time") <= removed["time"]
    assert read.pop("seconds") >= 0
    assert read == {
        "user": "ann@example.com", "client": "10.0.0.1", "method": "GET", "route": "/api/fetch",
        "path": forged, "status": 200, "bytes": 7,
    }  # fmt: skip
    assert broken["status"] == 499
    assert lines(tmp_path / "audit") == [removed]
    assert "secret" not in (tmp_path / "access").read_text()
    assert (tmp_path / "access").stat().st_mode & 0o007 == 0


def test_what_happens_to_accounts_is_audited(tmp_path: Path) -> None:
    log = logging.getLogger("caterva2.accounts.accounts")
    with RequestRecords(audit=str(tmp_path / "audit")) as kept:
        assert not kept.all
        log.warning("refused a login as %s from %s", "ann@example.com", "10.0.0.1")
        log.debug("not this")
    log.warning("nor this")
    assert [line["event"] for line in lines(tmp_path / "audit")] == [
        "refused a login as ann@example.com from 10.0.0.1"
    ]


def test_a_file_that_was_renamed_is_left_alone(tmp_path: Path) -> None:
    kept = KeptRecords("access", str(tmp_path / "log"))
    kept.add({"n": 1})
    eventually(lambda: lines(tmp_path / "log"))
    (tmp_path / "log").rename(tmp_path / "log.1")
    kept.reopen()
    kept.add({"n": 2})
    kept.close()
    assert [line["n"] for line in lines(tmp_path / "log.1")] == [1]
    assert [line["n"] for line in lines(tmp_path / "log")] == [2]


def test_a_full_disk_ends_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = tmp_path / "log"
    where.symlink_to("/dev/full")
    kept = KeptRecords("access", str(where))
    for n in range(3):
        kept.add({"n": n})
        eventually(lambda: kept._queue.empty() and caplog.messages)
    assert len(caplog.messages) == 1
    assert "No space left" in caplog.text
    where.unlink()
    kept.reopen()
    kept.add({"n": 3})
    kept.close()
    assert [line["n"] for line in lines(where)] == [3]


def test_records_that_find_no_room_are_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    monkeypatch.setattr(records_module, "WAITING", 3)
    kept = KeptRecords("access", str(tmp_path / "log"))
    write = kept._write
    monkeypatch.setattr(kept, "_write", lambda fields: released.wait(20) and write(fields))
    for n in range(10):
        kept.add({"n": n})
    released.set()
    kept.close()
    written = len(lines(tmp_path / "log"))
    assert 3 <= written <= 4
    assert caplog.messages == [f"{10 - written} records of the access log were dropped"]


def test_records_go_to_the_log_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kept = KeptRecords("access", "-")
    kept.add({"user": "ann@example.com", "status": 200})
    kept.close()
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("caterva2.access", "ann@example.com 200")
    assert vars(record)["status"] == 200


def test_a_file_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="can't be written"):
        records("access", str(tmp_path / "missing" / "log"))
    assert isinstance(records("access", "off"), NoRecords)


def test_a_fifo_that_no_program_reads_is_refused_and_one_that_is_read_gets_records(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StartError, match="fifo can't be written: no program reads it"):
        KeptRecords("access", str(tmp_path / "fifo"))
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        kept = KeptRecords("access", str(tmp_path / "fifo"))
        kept.add({"n": 1})
        kept.close()
        assert json.loads(os.read(reader, 1000))["n"] == 1
    finally:
        os.close(reader)
