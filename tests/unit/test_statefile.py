"""State files: which format they have, and what happens where one is damaged or newer."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from caterva2.broker.roots_log import RootsLog
from caterva2.errors import StartError
from caterva2.names import RootName
from caterva2.publisher.lease import LeaseFile, SavedLease
from caterva2.runtime import batches, statefile
from caterva2.subscriber.subscriptions import Subscriptions

FOO = RootName("foo")
ROOT = {"root": "foo", "inst": "i", "fence": 7, "endpoints": ["tcp://h:1"]}
DAMAGED = [
    b"", b"{", b"\xff\xfe", b"\x00" * 40, b"[" * 100_000, b"7", b"null", b'"foo"',
    b'{"format": 0}', b'{"format": -1}', b'{"format": true}', b'{"format": 1, "fo',
]  # fmt: skip


def numbers(version: int, content: Any) -> list[int]:
    return [int(number) for number in content["numbers"]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "numbers.json"


def read(file: Path) -> list[int] | None:
    return statefile.read(file, 3, numbers, "the numbers are lost")


def test_what_was_written_is_read(file: Path) -> None:
    statefile.write(file, 3, {"numbers": [1, 2]})
    assert read(file) == [1, 2]
    assert json.loads(file.read_bytes()) == {"format": 3, "numbers": [1, 2]}


def test_a_file_without_a_number_has_format_1(file: Path) -> None:
    file.write_text('{"numbers": [4]}')
    seen: list[int] = []
    statefile.read(file, 3, lambda version, content: seen.append(version), "")
    assert seen == [1]


def test_a_missing_file_is_not_damaged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(file) is None
    assert not caplog.records


def test_a_newer_format_is_refused_and_kept(file: Path) -> None:
    statefile.write(file, 4, {"numbers": [1]})
    before = file.read_bytes()
    with pytest.raises(StartError, match=r"numbers\.json has format 4, .* reads up to 3: start"):
        read(file)
    assert file.read_bytes() == before


def test_a_newer_format_is_refused_although_its_content_means_nothing(file: Path) -> None:
    file.write_text('{"format": 99}')
    with pytest.raises(StartError, match="format 99"):
        read(file)


@pytest.mark.parametrize("content", [*DAMAGED, b'{"numbers": [1e999]}', b'{"numbers": {"a": 1}}'])
def test_a_damaged_file_is_set_aside(
    file: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file.write_bytes(content)
    assert read(file) is None
    assert not file.exists()
    assert (file.parent / "numbers.json.bad").read_bytes() == content
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "numbers.json is damaged" in caplog.text
    assert "is numbers.json.bad now: the numbers are lost" in caplog.text
    assert "\n" not in record.getMessage()


def test_what_the_system_does_not_let_read_is_not_replaced(file: Path) -> None:
    file.mkdir()
    with pytest.raises(StartError, match=r"numbers\.json can't be read: Is a directory"):
        read(file)
    assert file.is_dir()


def test_what_can_not_be_set_aside_is_not_replaced(file: Path) -> None:
    file.write_bytes(b"")
    (file.parent / "numbers.json.bad").mkdir()
    with pytest.raises(StartError, match=r"numbers\.json is damaged, and can't be renamed"):
        read(file)
    assert file.exists()


# --- each file of a service ---


def fences(tmp_path: Path, saved: Any) -> dict[RootName, int]:
    (tmp_path / "roots.json").write_text(json.dumps(saved))
    return {record.root: record.fence for record in RootsLog(tmp_path).read()}


def test_roots_of_a_file_without_a_format(tmp_path: Path) -> None:
    saved = {"fences": {"foo": 7, "bar": 2}, "roots": [ROOT]}
    assert fences(tmp_path, saved) == {"foo": 7, "bar": 2}


def test_the_fence_of_a_lease_counts_where_the_fences_lack_it(tmp_path: Path) -> None:
    assert fences(tmp_path, {"fences": {}, "roots": [ROOT]}) == {"foo": 7}


@pytest.mark.parametrize("fence", [-1, True, 1.5, "1", 2**63, None])
def test_a_fence_that_was_never_granted_means_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fence: object
) -> None:
    assert fences(tmp_path, {"fences": {"foo": fence}, "roots": []}) == {}
    assert "roots.json is damaged" in caplog.text


@pytest.mark.parametrize(
    "content",
    [*DAMAGED, b"[]", b'{"foo": 1}', b'{"foo": {"inst": "i"}}', b'{"format": 2, "root": "foo"}',
     b'{"foo": {"inst": "i", "fence": -1}}', b'{"foo": {"inst": 3, "fence": 1}}',
     b'{"foo": {"inst": "i", "fence": 9223372036854775807}}'],
)  # fmt: skip
def test_a_damaged_lease_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "lease.json"
    path.write_bytes(content)
    assert LeaseFile(path, FOO).read() == SavedLease()
    if content != b'{"format": true}':  # a root may have any name
        assert (tmp_path / "lease.json.bad").read_bytes() == content
        assert "the broker remembers it" in caplog.text


def test_a_lease_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    path.write_text('{"format": 3, "root": "foo"}')
    with pytest.raises(StartError, match=r"lease\.json has format 3"):
        LeaseFile(path, FOO).read()


def test_a_lease_of_format_1_is_read_of_a_root_of_any_name(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    for name in ("foo", "format", "root"):
        path.write_text(json.dumps({name: {"inst": "i", "fence": 4}}))
        assert LeaseFile(path, RootName(name)).read() == SavedLease("i", 4)
        LeaseFile(path, RootName(name)).write(SavedLease("j", 5))
        assert LeaseFile(path, RootName(name)).read() == SavedLease("j", 5)


def test_subscriptions_outlive_the_subscriber(tmp_path: Path) -> None:
    asyncio.run(Subscriptions(tmp_path).save([FOO, RootName("bar")]))
    assert Subscriptions(tmp_path).read() == ["bar", "foo"]


def test_subscriptions_of_format_1_are_read(tmp_path: Path) -> None:
    (tmp_path / "subscribed.json").write_text('["bar", "foo"]')
    assert Subscriptions(tmp_path).read() == ["bar", "foo"]


@pytest.mark.parametrize(
    "content", [*DAMAGED, b'["../x"]', b"[1]", b'{"format": 2, "roots": "foo"}', b'{"roots": []}']
)
def test_damaged_subscriptions_are_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "subscribed.json").write_bytes(content)
    assert Subscriptions(tmp_path).read() == []
    assert (tmp_path / "subscribed.json.bad").read_bytes() == content
    assert "subscribed to again when it is read" in caplog.text


def test_subscriptions_of_a_newer_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "subscribed.json").write_text('{"format": 3}')
    with pytest.raises(StartError, match=r"subscribed\.json has format 3"):
        Subscriptions(tmp_path).read()


@pytest.mark.parametrize("head", [[2], [2, "x"], []])
def test_heads_of_files_of_records_have_formats(tmp_path: Path, head: list[object]) -> None:
    path = tmp_path / "records"
    batches.write(path, head, [])
    found = next(batches.read(path))
    assert batches.refuse_newer(path, found, 2) == (2 if head else 1)
    if head:
        with pytest.raises(StartError, match=r"records has format 2, .* up to 1"):
            batches.refuse_newer(path, found, 1)
