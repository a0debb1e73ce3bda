"""The broker's log of roots: what outlives a crash, a damaged line, and a full disk."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caterva2.broker.leases import Registry
from caterva2.broker.record import Record
from caterva2.broker.roots_log import FORMAT, RootsLog
from caterva2.errors import StartError
from caterva2.limits import DEFAULTS
from caterva2.model import Registration
from caterva2.names import RootName
from caterva2.wire.messages import Register, Unregister

NAMES = [RootName(name) for name in ("foo", "bar", "baz")]


def record(name: str, fence: int, *, held: bool = True) -> Record:
    root = RootName(name)
    info = Registration(root=root, inst="i", fence=fence, endpoints=("tcp://h:1",))
    return Record(root=root, fence=fence, lease=info if held else None)


def by_name(records: list[Record]) -> dict[str, Record]:
    return {record.root: record for record in records}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RootsLog]:
    with closing(RootsLog(tmp_path)) as made:
        yield made


@pytest.fixture
def three(log: RootsLog) -> list[Record]:
    """Three records, each added by itself."""
    records = [record(name, n + 1) for n, name in enumerate(NAMES)]
    log.write([])
    for one in records:
        log.add([one], list)
    return records


def test_a_missing_log_is_a_first_start(log: RootsLog) -> None:
    assert log.read() == []


def test_what_was_added_is_read(log: RootsLog, three: list[Record]) -> None:
    assert log.read() == three


def test_the_last_record_of_a_root_counts(log: RootsLog, three: list[Record]) -> None:
    log.add([record("foo", 1, held=False), record("bar", 9)], list)
    found = by_name(log.read())
    assert found["foo"] == record("foo", 1, held=False)
    assert found["bar"] == record("bar", 9)


def test_a_fence_never_goes_back(log: RootsLog, three: list[Record]) -> None:
    log.add([record("baz", 2)], list)
    assert by_name(log.read())["baz"].fence == 3


def test_a_registry_comes_back_from_its_notes(log: RootsLog) -> None:
    registry = Registry("b", [], 0.0)
    log.write(registry.dump())
    ttl = DEFAULTS.broker.lease_ttl
    for n, name in enumerate(NAMES):
        request = Register(root=name, inst=name, fence=0, endpoints=("tcp://h:1",))
        notes = registry.register(request, b"%d" % n, n * ttl / 2)[1]
        notes += registry.expire(n * ttl / 2)
        log.add(filter(None, map(Record.of_note, notes)), list)
    notes = registry.unregister(Unregister(root=NAMES[1], inst="bar", fence=1))
    log.add(filter(None, map(Record.of_note, [*notes, registry.beat()])), list)
    found = log.read()
    assert by_name(found) == by_name(registry.dump())
    assert {one.root for one in found if one.lease} == {"baz"}


def test_many_records_are_one_flush(
    log: RootsLog, three: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, fsync = list[int](), os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (flushed.append(fd), fsync(fd))[1])
    log.add([record(f"r{n}", 1) for n in range(2000)], list)
    assert len(flushed) == 1
    assert len(log.read()) == 2003


# --- what a crash or a disk does ---


def test_a_tail_that_is_cut_off_is_left_out_wherever_it_ends(
    log: RootsLog, three: list[Record], caplog: pytest.LogCaptureFixture
) -> None:
    content = log.path.read_bytes()
    *_, begin, end = (n for n, byte in enumerate(content) if byte == ord("\n"))
    for length in range(begin + 2, end + 1):
        caplog.clear()
        log.path.write_bytes(content[:length])
        assert log.read() == three[:2]
        (warning,) = caplog.records
        assert warning.levelno == logging.WARNING
        assert f"{length - begin - 1} bytes in damaged or cut off lines" in caplog.text
        bad = log.path.with_name("roots.log.bad")
        assert bad.read_bytes() == content[begin + 1 : length]
    log.write(log.read())
    caplog.clear()
    assert log.read() == three[:2]
    assert not caplog.records


def test_a_damaged_line_takes_no_other_with_it(log: RootsLog, three: list[Record]) -> None:
    content = log.path.read_bytes()
    log.path.write_bytes(content.replace(b'"fence":2', b'"fence":3'))
    assert log.read() == [three[0], three[2]]


def test_a_line_without_an_end_is_not_read_as_a_whole(log: RootsLog, three: list[Record]) -> None:
    with log.path.open("ab") as file:
        file.write(b"x" * 200_000)
    assert log.read() == three


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\n", b"\n\n\n", b"\xff\xfe\n"])
def test_what_a_crash_leaves_behind_the_end_is_left_out(
    log: RootsLog, three: list[Record], tail: bytes
) -> None:
    with log.path.open("ab") as file:
        file.write(tail)
    assert log.read() == three


def failing(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "no space left")


def test_after_a_failure_everything_is_written_anew(
    log: RootsLog, three: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="no space"):
            log.add([record("new", 1)], list)
    everything = [*three, record("new", 2), record("other", 1)]
    log.add([record("other", 1)], lambda: everything)
    assert log.read() == everything


def test_the_log_has_a_bounded_length(tmp_path: Path) -> None:
    with closing(RootsLog(tmp_path, slack=1000)) as log:
        lengths = []
        for fence in range(1, 200):
            log.add([record("foo", fence)], lambda fence=fence: [record("foo", fence)])
            lengths.append(log.path.stat().st_size)
        assert max(lengths) < 3000
        assert log.read() == [record("foo", 199)]
        assert lengths != sorted(lengths)  # it was written anew, not at each step
        assert sum(a > b for a, b in itertools.pairwise(lengths)) < 50


def test_a_process_begins_with_a_log_without_the_past(tmp_path: Path, three: list[Record]) -> None:
    with closing(RootsLog(tmp_path)) as log:
        log.add([three[0]], lambda: three[:1])
        assert log.path.read_bytes().count(b"\n") == 2


# --- formats ---


def test_a_newer_format_is_refused_and_kept(log: RootsLog) -> None:
    content = json.dumps({"format": FORMAT + 1}).encode()
    line = b"%08x %s\n" % (zlib.crc32(content), content)
    log.path.write_bytes(line)
    with pytest.raises(StartError, match=rf"roots\.log has format {FORMAT + 1}, .* reads up to"):
        log.read()
    assert log.path.read_bytes() == line


def test_a_file_of_the_first_format_is_taken_over(tmp_path: Path, log: RootsLog) -> None:
    old = tmp_path / "roots.json"
    item = record("foo", 7).lease
    assert item is not None
    fences = {"foo": 8, "bar": 2}
    old.write_text(json.dumps({"format": 1, "fences": fences, "roots": [item.model_dump()]}))
    found = by_name(log.read())
    assert {name: one.fence for name, one in found.items()} == fences
    assert found["foo"].lease == item
    assert old.exists()
    log.add([], found.values)
    assert not old.exists()
    assert by_name(log.read()) == found
