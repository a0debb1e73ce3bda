"""Sparse frames in a directory: each is one dataset, whatever becomes of its files."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import b2trees
import blosc2
import numpy as np
import pytest
from samples import array_frame
from sourcereads import values_of

from caterva2.cli.cat2pub import open_source
from caterva2.errors import NotFound, SourceCorrupt, StaleVersion
from caterva2.frames import layout
from caterva2.names import DatasetPath
from caterva2.sources.base import Source
from caterva2.stores.sparse import files

VALUES = np.random.default_rng(3).integers(0, 99, (100, 300))
TEXT = b"Hello world!" * 100
PATH = DatasetPath("d/a.b2nd")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A sparse frame, and another array beside it."""
    made = tmp_path / "root" / PATH
    made.parent.mkdir(parents=True)
    array = b2trees.sparse(made, VALUES)
    array.schunk.vlmeta["title"] = "A frame"
    (tmp_path / "root" / "other.b2nd").write_bytes(array_frame(np.arange(10)))
    return made


@pytest.fixture
def source(place: Path, tmp_path: Path) -> Iterator[Source]:
    made = open_source(tmp_path / "root", tmp_path / "state")
    made.scan()
    yield made
    made.close()


def check_other(source: Source) -> None:
    np.testing.assert_array_equal(values_of(source, "other")[:], np.arange(10))


# --- what is served ---


def test_a_sparse_frame_is_one_dataset_and_its_files_are_none(source: Source) -> None:
    assert sorted(source.scan()) == ["d/a.b2nd", "other.b2nd"]
    assert [*source.scan("d/a.b2nd")] == ["d/a.b2nd"]
    assert source.scan("d/a.b2nd/00000000.chunk") == {}
    for path in ("d/a.b2nd/chunks.b2frame", "d/a.b2nd/00000000.chunk"):
        with pytest.raises(NotFound):
            source.info(DatasetPath(path))


def test_values_and_chunks_are_those_that_are_stored(source: Source, place: Path) -> None:
    array = blosc2.open(str(place), mode="r")
    stored = array.schunk
    np.testing.assert_array_equal(values_of(source, "d/a")[:], VALUES)
    assert b2trees.stored_chunks(source, PATH) == [stored.get_chunk(n) for n in range(10)]
    info = source.info(PATH)
    assert info.vlmeta["title"] == b"\xa7A frame"
    assert info.cbytes == sum(map(len, b2trees.stored_chunks(source, PATH)))
    assert source.blocks(PATH, info.etag, 3, [1]).ids == (1,)


@pytest.mark.parametrize("values", [np.zeros((0, 300)), np.zeros((30, 300)), np.ones((20, 300))])
def test_a_frame_without_files_of_chunks_is_served(values: Any, source: Source) -> None:
    b2trees.sparse(Path(source._root) / "b.b2nd", values)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(values_of(source, "b" if source.scan() else "")[:], values)


def test_a_byte_string_is_served(source: Source, place: Path) -> None:
    path = place.parent / "text.b2frame"
    blosc2.SChunk(chunksize=100, data=TEXT, urlpath=str(path), contiguous=False, mode="w")
    source.scan("d/text.b2frame")
    found = b2trees.stored_chunks(source, "d/text.b2frame")
    assert b"".join(map(blosc2.decompress2, found)) == TEXT


def test_one_with_another_name_is_left_out_with_the_reason(
    source: Source, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    b2trees.sparse(place.parent / "plain", VALUES)
    assert sorted(source.scan()) == ["d/a.b2nd", "other.b2nd"]
    assert sorted(source.scan()) == ["d/a.b2nd", "other.b2nd"]
    assert caplog.text.count("d/plain is left out: it is a sparse frame, which is served if") == 1


def test_a_link_to_one_within_the_root_is_followed(source: Source, place: Path) -> None:
    (place.parents[1] / "link.b2nd").symlink_to("d/a.b2nd")
    assert "link.b2nd" in source.scan()
    np.testing.assert_array_equal(values_of(source, "link")[:], VALUES)


# --- changes ---


def test_a_chunk_that_changes_is_another_version(source: Source, place: Path) -> None:
    old = source.info(PATH)
    blosc2.open(str(place), mode="a")[10:20] = 7
    with pytest.raises(StaleVersion) as caught:
        list(source.chunks(PATH, old.etag, [1]))
    new = source.scan("d/a.b2nd")[PATH].etag
    assert caught.value.info["etag"] == new != old.etag
    assert (values_of(source, "d/a")[10:20] == 7).all()


def test_a_file_that_is_rewritten_with_its_size_and_time_is_noticed(
    source: Source, place: Path
) -> None:
    old, file = source.info(PATH), place / "00000004.chunk"
    status, data = file.stat(), bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(StaleVersion):
        list(source.chunks(PATH, old.etag, [4]))
    assert source.scan("d/a.b2nd")[PATH].etag == source.info(PATH).etag != old.etag


def test_one_that_grows_appears_whole_and_goes_when_it_is_removed(
    source: Source, place: Path
) -> None:
    array = blosc2.open(str(place), mode="a")
    array.resize((110, 300))
    array[100:] = 5
    source.scan("d/a.b2nd")
    assert (values_of(source, "d/a")[100:] == 5).all()
    shutil.rmtree(place)
    assert sorted(source.scan("d/a.b2nd")) == []
    with pytest.raises(NotFound):
        source.info(PATH)
    place.write_bytes(array_frame(np.arange(4)))
    assert "d/a.b2nd" in source.scan()
    np.testing.assert_array_equal(values_of(source, "d/a")[:], np.arange(4))


# --- frames that are not what they should be ---


def with_index(place: Path, change: Callable[[Any], None]) -> None:
    """Rewrite the index of a frame."""
    main = place / "chunks.b2frame"
    data = main.read_bytes()
    start = layout.header_length(data)
    tail = layout.trailer_length(data[-layout.TRAILER_TAIL :], len(data))
    index = np.frombuffer(blosc2.decompress2(data[start : len(data) - tail]), "<i8").copy()
    change(index)
    packed = blosc2.compress2(index, typesize=8)
    made = bytearray(data[:start] + packed + data[len(data) - tail :])
    struct.pack_into(">Q", made, layout.FRAME_LENGTH_AT, len(made))
    main.write_bytes(made)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def lie(number: int) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        with_index(place, lambda index: index.__setitem__(4, number))

    return change


def enlarge(path: Path) -> None:
    os.truncate(path, 2**40)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no file": (lambda place: (place / "00000004.chunk").unlink(), "has no file 00000004.chunk"),
    "a file cut off": (lambda place: cut(place / "00000004.chunk"), "claims"),
    "an empty file": (lambda place: os.truncate(place / "00000004.chunk", 0), "claims 0 bytes"),
    "another chunk": (lie(77), "has no file 0000004D.chunk"),
    "a number of 2^62": (lie(2**62), "has no file"),
    "an unknown mark": (lie(-1), "special chunk kind"),
    "garbage": (lambda place: (place / "00000004.chunk").write_bytes(b"x" * 99), "claims"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_chunk_is_refused_and_the_others_are_read(
    fault: str, source: Source, place: Path
) -> None:
    change, reason = FAULTS[fault]
    change(place)
    source.scan()
    etag = source.info(PATH).etag
    with pytest.raises(SourceCorrupt, match=reason):
        list(source.chunks(PATH, etag, [4]))
    with pytest.raises(SourceCorrupt, match=reason):
        source.blocks(PATH, etag, 4, [0])
    assert sum(len(run.ids) for run in source.chunks(PATH, etag, [0, 1, 5, 9])) == 4
    check_other(source)


def test_a_file_that_is_much_too_large_is_not_read_as_a_whole(source: Source, place: Path) -> None:
    enlarge(place / "00000004.chunk")
    source.scan()
    np.testing.assert_array_equal(values_of(source, "d/a")[:], VALUES)


def link_out(place: Path) -> None:
    (place / "00000004.chunk").unlink()
    (place / "00000004.chunk").symlink_to("/etc/passwd")


def link_main(place: Path) -> None:
    shutil.move(place / "chunks.b2frame", place.parents[2] / "main")
    (place / "chunks.b2frame").symlink_to(place.parents[2] / "main")


def contiguous(place: Path) -> None:
    (place / "chunks.b2frame").write_bytes(array_frame(np.arange(10)))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link out of the root": (link_out, "00000004.chunk is a link or a device"),
    "its main file is a link": (link_main, "chunks.b2frame is a link or a device"),
    "its main file cut off": (lambda place: cut(place / "chunks.b2frame"), "shorter"),
    "no frame": (lambda place: (place / "chunks.b2frame").write_bytes(b"x"), "not a contiguous"),
    "a contiguous frame": (contiguous, "only sparse frames"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_frame_that_can_not_be_read_is_left_out_once(
    name: str, place: Path, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    change, reason = REFUSED[name]
    change(place)
    for _ in range(2):
        assert source.scan("d/a.b2nd") == {}
    assert sorted(source.scan()) == ["other.b2nd"]
    check_other(source)
    assert caplog.text.count("d/a.b2nd is left out: ") == 1 and reason in caplog.text


def test_other_files_in_it_are_left_out_with_one_line(
    place: Path, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "notes.txt").write_text("x")
    (place / "inner.b2nd").write_bytes(array_frame(np.arange(10)))
    for _ in range(2):
        assert [*source.scan("d/a.b2nd/notes.txt"), *source.scan("d/a.b2nd")] == ["d/a.b2nd"]
    assert sorted(source.scan()) == ["d/a.b2nd", "other.b2nd"]
    assert caplog.text.count("d/a.b2nd has 2 files that are none of it") == 1
    np.testing.assert_array_equal(values_of(source, "d/a")[:], VALUES)


def test_more_files_than_are_listed_are_refused_after_these(place: Path) -> None:
    assert len(files.listed(place, most=11).numbers) == 10
    with pytest.raises(SourceCorrupt, match="it has more than 10 files"):
        files.listed(place, most=10)


def test_files_that_are_missing_are_named_once(
    place: Path, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "00000004.chunk").unlink()
    source.scan()
    for _ in range(2):
        source.info(PATH)
    assert caplog.text.count("d/a.b2nd lacks files of chunks: 00000004.chunk") == 1
