"""A catalog outlives its subscriber; what held it up while it arrived is still collected."""

from __future__ import annotations

import gc
import logging
import weakref
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest

from caterva2.errors import StartError
from caterva2.model import Entry, Manifest
from caterva2.names import DatasetPath, RootName
from caterva2.runtime import batches
from caterva2.runtime.memory import promote_all
from caterva2.subscriber.catalog import saved as saved_catalog

FOO = RootName("foo")
ENTRIES = [
    Entry(path=DatasetPath(f"d/{n}é"), kind="file", etag=f"e{n}", size=n, mtime=n / 2)
    for n in range(3)
]


def test_saved_catalog_is_read_again(tmp_path: Path) -> None:
    saved_catalog.write(tmp_path / "c", "i", 7, ENTRIES)
    copy = saved_catalog.read(tmp_path / "c", FOO)
    assert (copy.inst, copy.rev, copy.complete) == ("i", 7, True)
    assert copy.entries == {entry.path: entry for entry in ENTRIES}


def test_catalog_of_several_batches_is_read_again(tmp_path: Path) -> None:
    count = 2 * batches.BATCH + 1
    entries = [replace(ENTRIES[0], path=DatasetPath(f"{n}.b2nd")) for n in range(count)]
    saved_catalog.write(tmp_path / "c", "i", 7, entries)
    assert list(saved_catalog.read(tmp_path / "c", FOO).entries.values()) == entries


def test_no_saved_catalog_knows_nothing(tmp_path: Path) -> None:
    assert not saved_catalog.read(tmp_path / "c", FOO).complete


def test_saved_groups_are_read_again(tmp_path: Path) -> None:
    group = Entry(path=DatasetPath(".group"), kind="group", etag="g", size=0, mtime=0.0)
    saved_catalog.write(tmp_path / "c", "i", 7, [*ENTRIES, group])
    copy = saved_catalog.read(tmp_path / "c", FOO)
    assert (copy.groups, len(copy.entries)) == ({group.path: group}, len(ENTRIES))


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", msgpack.packb({"inst": "i"}), msgpack.packb([1]),
                msgpack.packb(("i", 1, 1)) + msgpack.packb([{"path": "../x"}]),
                msgpack.packb(("i", 1, 1)) + msgpack.packb([ENTRIES[0].fields() | {"path": ".."}]),
                msgpack.packb(("i", 1, 2)) + msgpack.packb([ENTRIES[0].fields()])],
)  # fmt: skip
def test_damaged_catalog_is_named_and_knows_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "c").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert not saved_catalog.read(tmp_path / "c", FOO).complete
    assert "the saved catalog of foo is lost" in caplog.text
    assert (tmp_path / "c.bad").read_bytes() == content
    assert not (tmp_path / "c").exists()


def test_catalog_of_format_1_is_read(tmp_path: Path) -> None:
    batches.write(tmp_path / "c", ("i", 7, 3), (entry.fields() for entry in ENTRIES))
    assert saved_catalog.read(tmp_path / "c", FOO).entries == {e.path: e for e in ENTRIES}


@pytest.mark.parametrize("head", [("i", 7, 3), (2, "i", 7, 3)])
def test_catalog_of_a_format_without_groups_is_no_revision_to_go_on_from(
    tmp_path: Path, head: tuple[object, ...]
) -> None:
    batches.write(tmp_path / "c", head, (entry.fields() for entry in ENTRIES))
    assert saved_catalog.read(tmp_path / "c", FOO).since("i") == -1


def test_catalog_of_a_format_without_a_signature_is_one_to_go_on_from(tmp_path: Path) -> None:
    batches.write(tmp_path / "c", (4, "i", 7, 3, 2), (entry.fields() for entry in ENTRIES))
    copy = saved_catalog.read(tmp_path / "c", FOO)
    assert (copy.since("i"), copy.fence, copy.manifest) == (7, 2, None)


def test_what_is_signed_is_saved_with_a_catalog(tmp_path: Path) -> None:
    said = Manifest(
        inst="i", fence=2, rev=7, time=1.5, digest=bytes(32), signature=bytes(range(64))
    )
    saved_catalog.write(tmp_path / "c", "i", 7, ENTRIES, 2, said)
    assert saved_catalog.read(tmp_path / "c", FOO).signed == said


def test_catalog_of_a_newer_format_is_refused_at_the_start(tmp_path: Path) -> None:
    saved_catalog.write(tmp_path / "a", "i", 7, ENTRIES)
    (tmp_path / "b").write_bytes(b"\xc1")
    saved_catalog.refuse_newer(tmp_path)
    batches.write(tmp_path / "c", (6, "something else"), [])
    with pytest.raises(StartError, match=r"c has format 6, .* reads up to 5"):
        saved_catalog.refuse_newer(tmp_path)
    with pytest.raises(StartError, match="format 6"):
        saved_catalog.read(tmp_path / "c", FOO)


def test_what_becomes_garbage_after_a_catalog_came_is_collected() -> None:
    class Node:
        """Something that refers to itself, as an error with its traceback does."""

    node = Node()
    node.self = node  # type: ignore[attr-defined]
    seen = weakref.ref(node)
    promote_all()
    del node
    gc.collect()
    assert seen() is None
