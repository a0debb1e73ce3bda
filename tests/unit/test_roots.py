"""What a publisher can serve: one suite for every source, and what only directories have."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import blosc2
import h5py
import numpy as np
import pytest
import samples

from caterva2 import limits
from caterva2.errors import (
    BadRequest,
    CatervaError,
    NotFound,
    SourceCorrupt,
    StaleVersion,
    StartError,
)
from caterva2.frames import blocks, compose
from caterva2.frames.reader import FrameReader, Run
from caterva2.names import DatasetPath
from caterva2.roots.base import Source
from caterva2.roots.directory import DirectorySource
from caterva2.roots.hdf5 import Hdf5Source
from caterva2.roots.memory import MemorySource

ARRAY = samples.array_frame(np.arange(100), {"a": 1}, chunks=(10,), blocks=(5,))
OTHER = samples.array_frame(np.arange(100) + 1, {"a": 1}, chunks=(10,), blocks=(5,))
BYTES = samples.byte_frame(b"Hello world!" * 100, 100)
CONTENTS = {"README.md": b"# Hi\n", "a.b2nd": ARRAY, "d/e/b.b2nd": OTHER, "d/h.b2frame": BYTES}
TIME_LIMIT = 20.0


class Root(Protocol):
    """A source, and a way to change what it serves."""

    source: Source

    def put(self, path: str, content: bytes) -> None: ...

    def delete(self, path: str) -> None: ...


class InDirectory:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.source: Source = DirectorySource(directory)

    def put(self, path: str, content: bytes) -> None:
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def delete(self, path: str) -> None:
        (self.directory / path).unlink()


class InHdf5:
    """A file that is written anew, and moved to its place, at each change."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.path = directory / "root.h5"
        self.contents: dict[str, bytes] = {}
        self._source: Source | None = None

    @property
    def source(self) -> Source:
        self._source = self._source or Hdf5Source(self.path)
        return self._source

    def put(self, path: str, content: bytes) -> None:
        self.contents[path] = content
        self._write()

    def delete(self, path: str) -> None:
        del self.contents[path]
        self._write()

    def _write(self) -> None:
        new = self.path.with_suffix(".new")
        with h5py.File(new, "w") as file:
            for path, content in self.contents.items():
                samples.hdf5_dataset(file, path.removesuffix(".b2nd"), content)
        os.replace(new, self.path)


class InMemory:
    def __init__(self, directory: Path) -> None:
        self.memory = MemorySource()
        self.source: Source = self.memory

    def put(self, path: str, content: bytes) -> None:
        self.memory.put(path, content)

    def delete(self, path: str) -> None:
        self.memory.delete(path)


@pytest.fixture(params=[InDirectory, InMemory])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    """A source of each kind that has plain files too; it serves `CONTENTS`."""
    kind: Callable[[Path], Root] = request.param
    root = kind(tmp_path / "root")
    for path, content in CONTENTS.items():
        root.put(path, content)
    yield root
    root.source.close()


@pytest.fixture(params=[InDirectory, InMemory, InHdf5])
def arrays(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    """A source of each kind that serves the arrays of `CONTENTS`."""
    root: Root = request.param(tmp_path / "root")
    for path in ("a.b2nd", "d/e/b.b2nd"):
        root.put(path, CONTENTS[path])
    yield root
    root.source.close()


@pytest.fixture
def directory(tmp_path: Path) -> InDirectory:
    root = InDirectory(tmp_path / "root")
    for path, content in CONTENTS.items():
        root.put(path, content)
    return root


def _etag(root: Root, path: str) -> str:
    return root.source.info(DatasetPath(path)).etag


def _read(root: Root, path: str, start: int, stop: int, etag: str = "") -> bytes:
    etag = etag or _etag(root, path)
    return b"".join(root.source.read_bytes(DatasetPath(path), etag, start, stop))


def _chunks(root: Root, path: str, ids: list[int], etag: str = "") -> bytes:
    etag = etag or _etag(root, path)
    runs = list(root.source.chunks(DatasetPath(path), etag, ids))
    assert [n for run in runs for n in run.ids] == ids
    assert all(sum(run.sizes) == len(run.payload) for run in runs)
    return b"".join(run.payload for run in runs)


# --- every source ---


def test_a_scan_lists_every_array(arrays: Root) -> None:
    found = arrays.source.scan()
    assert {path: entry.kind for path, entry in found.items()} == {
        "a.b2nd": "array", "d/e/b.b2nd": "array",
    }  # fmt: skip
    assert all(path == entry.path and entry.size for path, entry in found.items())


@pytest.mark.parametrize("scope", ["d", "d/e", "a.b2nd", "x", "a", "d/h", "a.b2nd/x"])
def test_a_scan_of_a_scope_holds_the_arrays_below_it(arrays: Root, scope: str) -> None:
    whole = arrays.source.scan()
    part = {p: e for p, e in whole.items() if p == scope or p.startswith(scope + "/")}
    assert arrays.source.scan(scope) == part


@pytest.mark.parametrize("path", ["a.b2nd", "d/e/b.b2nd"])
def test_info_is_of_the_version_of_the_array_that_is_listed(arrays: Root, path: str) -> None:
    entry = arrays.source.scan()[DatasetPath(path)]
    info = arrays.source.info(DatasetPath(path))
    assert (info.path, info.etag, info.mtime) == (path, entry.etag, entry.mtime)


@pytest.mark.parametrize("path", ["x.b2nd", "d.b2nd", "d/x.b2nd", "a.b2nd/x.b2nd"])
def test_an_array_that_does_not_exist(arrays: Root, path: str) -> None:
    with pytest.raises(NotFound):
        arrays.source.info(DatasetPath(path))
    with pytest.raises(NotFound):
        _chunks(arrays, path, [0], "e")


def test_an_array_has_no_bytes_of_another_version(arrays: Root) -> None:
    with pytest.raises(StaleVersion):
        _read(arrays, "a.b2nd", 0, 1, "another")


def test_another_version_of_an_array_is_told_with_its_etag(arrays: Root) -> None:
    old = _etag(arrays, "a.b2nd")
    _chunks(arrays, "a.b2nd", [0])
    arrays.put("a.b2nd", OTHER)
    with pytest.raises(StaleVersion) as caught:
        _chunks(arrays, "a.b2nd", [0], old)
    assert caught.value.info == {"etag": _etag(arrays, "a.b2nd")}
    assert _etag(arrays, "a.b2nd") != old


def test_a_change_of_an_array_is_hinted_at(arrays: Root) -> None:
    hints, stop = set[str](), threading.Event()
    arrays.source.scan()

    def watch() -> None:
        for scopes in arrays.source.changes(stop):
            hints.update(scopes)

    thread = threading.Thread(target=watch)
    thread.start()
    end = time.monotonic() + TIME_LIMIT
    try:
        while not hints & {"", "a.b2nd"} and time.monotonic() < end:
            arrays.put("a.b2nd", OTHER)
            stop.wait(0.2)
    finally:
        stop.set()
        thread.join(TIME_LIMIT)
    assert hints & {"", "a.b2nd"}
    assert not thread.is_alive()


def test_a_scan_lists_everything(root: Root) -> None:
    found = root.source.scan()
    assert {path: (e.kind, e.size) for path, e in found.items()} == {
        "README.md": ("file", len(CONTENTS["README.md"])),
        "a.b2nd": ("array", len(ARRAY)),
        "d/e/b.b2nd": ("array", len(OTHER)),
        "d/h.b2frame": ("frame", len(BYTES)),
    }
    assert all(path == entry.path for path, entry in found.items())


@pytest.mark.parametrize("scope", ["d", "d/e", "a.b2nd", "README.md", "x", "a", "d/h", "a.b2nd/x"])
def test_a_scan_of_a_scope_is_that_part_of_the_whole(root: Root, scope: str) -> None:
    whole = root.source.scan()
    part = {p: e for p, e in whole.items() if p == scope or p.startswith(scope + "/")}
    assert root.source.scan(scope) == part


@pytest.mark.parametrize("path", CONTENTS)
def test_info_is_of_the_version_that_is_listed(root: Root, path: str) -> None:
    entry = root.source.scan()[DatasetPath(path)]
    info = root.source.info(DatasetPath(path))
    assert (info.path, info.etag, info.kind, info.mtime) == (
        path,
        entry.etag,
        entry.kind,
        entry.mtime,
    )


def test_info_of_an_array(arrays: Root) -> None:
    info = arrays.source.info(DatasetPath("a.b2nd"))
    assert (info.shape, info.chunks, info.blocks, info.dtype) == ((100,), (10,), (5,), "<i8")
    assert info.vlmeta == {"a": b"\x01"}


def test_info_of_a_file(root: Root) -> None:
    info = root.source.info(DatasetPath("README.md"))
    assert (info.shape, info.chunksize, info.nbytes) == ((5,), limits.FILE_CHUNK, 5)


def test_chunks_make_up_the_array(arrays: Root) -> None:
    info = arrays.source.info(DatasetPath("a.b2nd"))
    chunks = [_chunks(arrays, "a.b2nd", [n]) for n in range(info.nchunks)]
    frame = compose.frame(compose.template(info), chunks)
    np.testing.assert_array_equal(samples.opened(frame), np.arange(100))


def test_chunks_come_in_the_order_asked_for(arrays: Root) -> None:
    raw = samples.raw_chunks(ARRAY)
    assert _chunks(arrays, "a.b2nd", [7, 0, 1, 7]) == raw[7] + raw[0] + raw[1] + raw[7]


def test_blocks_are_those_of_the_chunk(arrays: Root) -> None:
    etag, raw = _etag(arrays, "a.b2nd"), samples.raw_chunks(ARRAY)
    for n, ids in ((0, [0]), (7, [1, 0]), (9, [1])):
        found = arrays.source.blocks(DatasetPath("a.b2nd"), etag, n, ids)
        assert found == blocks.cut_out_of(raw[n], ids)
        assert found.ids == tuple(ids)


def test_blocks_of_another_version_are_told_with_its_etag(arrays: Root) -> None:
    old = _etag(arrays, "a.b2nd")
    arrays.source.blocks(DatasetPath("a.b2nd"), old, 0, [0])
    arrays.put("a.b2nd", OTHER)
    with pytest.raises(StaleVersion) as caught:
        arrays.source.blocks(DatasetPath("a.b2nd"), old, 0, [0])
    assert caught.value.info == {"etag": _etag(arrays, "a.b2nd")}


@pytest.mark.parametrize(("n", "ids"), [(-1, [0]), (10, [0]), (0, [2]), (0, [-1])])
def test_blocks_that_do_not_exist(arrays: Root, n: int, ids: list[int]) -> None:
    with pytest.raises(NotFound):
        arrays.source.blocks(DatasetPath("a.b2nd"), _etag(arrays, "a.b2nd"), n, ids)


def test_a_plain_file_has_no_blocks(root: Root) -> None:
    with pytest.raises(BadRequest):
        root.source.blocks(DatasetPath("README.md"), _etag(root, "README.md"), 0, [0])


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (1, 3), (5, 5), (0, 0)])
def test_bytes_of_a_file(root: Root, start: int, stop: int) -> None:
    assert _read(root, "README.md", start, stop) == b"# Hi\n"[start:stop]


def test_a_large_file_comes_in_pieces(root: Root) -> None:
    content = np.random.default_rng(0).bytes(2 * limits.REPLY_BYTES + 5)
    root.put("big.bin", content)
    etag = _etag(root, "big.bin")
    pieces = list(root.source.read_bytes(DatasetPath("big.bin"), etag, 0, len(content)))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= limits.REPLY_BYTES


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 6)])
def test_bytes_that_do_not_exist(root: Root, start: int, stop: int) -> None:
    with pytest.raises(BadRequest):
        _read(root, "README.md", start, stop)


@pytest.mark.parametrize("n", [-1, 10])
def test_a_chunk_that_does_not_exist(arrays: Root, n: int) -> None:
    with pytest.raises(NotFound):
        _chunks(arrays, "a.b2nd", [n])


def test_a_plain_file_has_no_chunks(root: Root) -> None:
    with pytest.raises(BadRequest):
        _chunks(root, "README.md", [0])


@pytest.mark.parametrize("path", ["x", "d", "d/x.b2nd", "a.b2nd/x", "README.md/x"])
def test_a_dataset_that_does_not_exist(root: Root, path: str) -> None:
    with pytest.raises(NotFound):
        root.source.info(DatasetPath(path))
    with pytest.raises(NotFound):
        _read(root, path, 0, 1, "e")


def test_a_deleted_dataset_is_gone(arrays: Root) -> None:
    etag = _etag(arrays, "a.b2nd")
    _chunks(arrays, "a.b2nd", [0])
    arrays.delete("a.b2nd")
    assert "a.b2nd" not in arrays.source.scan()
    with pytest.raises(NotFound):
        _chunks(arrays, "a.b2nd", [0], etag)


def test_an_etag_stays_while_nothing_changes(arrays: Root) -> None:
    before = {path: entry.etag for path, entry in arrays.source.scan().items()}
    _chunks(arrays, "a.b2nd", [0])
    assert {path: entry.etag for path, entry in arrays.source.scan().items()} == before


@pytest.mark.parametrize("path", ["a.b2nd", "README.md"])
def test_another_version_is_told_with_its_etag(root: Root, path: str) -> None:
    read = _chunks if path == "a.b2nd" else None
    old = _etag(root, path)
    if read:
        read(root, path, [0])
    root.put(path, OTHER if path == "a.b2nd" else b"# Ho\n")
    with pytest.raises(StaleVersion) as caught:
        _chunks(root, path, [0], old) if read else _read(root, path, 0, 1, old)
    assert caught.value.info == {"etag": _etag(root, path)}
    assert _etag(root, path) != old


def test_a_change_is_hinted_at(root: Root) -> None:
    hints: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        for scopes in root.source.changes(stop):
            hints.update(scopes)

    thread = threading.Thread(target=watch)
    thread.start()
    end = time.monotonic() + TIME_LIMIT
    count = 0
    try:
        # Whoever watches may not be there yet at the first change.
        while "new.txt" not in hints and time.monotonic() < end:
            count += 1
            root.put("new.txt", str(count).encode())
            stop.wait(0.05)
    finally:
        stop.set()
        thread.join(TIME_LIMIT)
    assert "new.txt" in hints
    assert not thread.is_alive()


# --- directories ---


def test_a_root_must_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    for path in (tmp_path / "f", tmp_path / "nothing"):
        with pytest.raises(StartError):
            DirectorySource(path)


@pytest.mark.parametrize("path", [".hidden", ".git/config", "d/.x", "d/.e/x.b2nd"])
def test_hidden_files_are_left_out(directory: InDirectory, path: str) -> None:
    directory.put(path, ARRAY)
    assert directory.source.scan().keys() == CONTENTS.keys()
    assert directory.source.scan(path) == {}
    with pytest.raises(NotFound):
        directory.source.info(DatasetPath(path))
    with pytest.raises(NotFound):
        _read(directory, path, 0, 1, "e")


def test_a_link_out_of_the_root_is_refused(directory: InDirectory, tmp_path: Path) -> None:
    (tmp_path / "secret.b2nd").write_bytes(ARRAY)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.b2nd").write_bytes(ARRAY)
    (directory.directory / "l.b2nd").symlink_to(tmp_path / "secret.b2nd")
    (directory.directory / "m.b2nd").symlink_to("../secret.b2nd")
    (directory.directory / "ld").symlink_to(tmp_path / "outside")
    assert directory.source.scan().keys() == CONTENTS.keys()
    assert directory.source.scan("ld") == {}
    for path in ("l.b2nd", "m.b2nd", "ld/x.b2nd"):
        with pytest.raises(NotFound):
            directory.source.info(DatasetPath(path))


def test_a_link_out_of_the_root_is_named_once(
    directory: InDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "outside").mkdir()
    (directory.directory / "l.b2nd").symlink_to(tmp_path / "secret.b2nd")
    (directory.directory / "ld").symlink_to(tmp_path / "outside")
    (directory.directory / "inside.b2nd").symlink_to("a.b2nd")
    for scope in ("", "", "l.b2nd"):
        directory.source.scan(scope)
    assert sorted(caplog.messages) == [
        f"{name} is left out: it is a link that leads out of the root" for name in ("l.b2nd", "ld")
    ]


def test_a_link_to_a_sibling_whose_name_begins_alike_is_refused(
    directory: InDirectory, tmp_path: Path
) -> None:
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "x").write_bytes(b"secret")
    (directory.directory / "l").symlink_to(tmp_path / "root2" / "x")
    with pytest.raises(NotFound):
        directory.source.info(DatasetPath("l"))


def test_a_link_inside_of_the_root_is_followed(directory: InDirectory) -> None:
    (directory.directory / "l.b2nd").symlink_to("d/e/b.b2nd")
    assert "l.b2nd" in directory.source.scan()
    assert _chunks(directory, "l.b2nd", [3]) == samples.raw_chunks(OTHER)[3]


def test_links_in_a_circle_are_left_out(directory: InDirectory) -> None:
    (directory.directory / "l").symlink_to("l")
    (directory.directory / "d" / "up").symlink_to("..")
    assert directory.source.scan().keys() == CONTENTS.keys()


def test_a_linked_directory_is_listed_by_its_scope_as_in_the_whole(directory: InDirectory) -> None:
    (directory.directory / "ld").symlink_to("d")
    whole = directory.source.scan()
    part = {path: entry for path, entry in whole.items() if path.startswith("ld/")}
    assert directory.source.scan("ld") == part


@pytest.mark.parametrize("scope", ["..", "../root", "d/../..", "/etc", "."])
def test_a_scope_never_leaves_the_root(directory: InDirectory, scope: str) -> None:
    assert directory.source.scan(scope) == {}


def test_a_pipe_is_left_out_and_blocks_nobody(directory: InDirectory) -> None:
    os.mkfifo(directory.directory / "p.b2nd")
    assert directory.source.scan().keys() == CONTENTS.keys()
    with pytest.raises(NotFound):
        directory.source.info(DatasetPath("p.b2nd"))


def test_a_sparse_frame_is_left_out_with_one_warning(
    directory: InDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    path = directory.directory / "s.b2nd"
    blosc2.asarray(np.arange(10), urlpath=str(path), contiguous=False, mode="w")
    assert path.is_dir()
    with caplog.at_level(logging.WARNING):
        for scope in ("", "", "s.b2nd", "s.b2nd/chunks.b2frame"):
            assert not any("s.b2nd" in p for p in directory.source.scan(scope))
    assert caplog.text.count("sparse frame") == 1
    assert "contiguous=True" in caplog.text


def test_names_that_are_no_paths_are_left_out(
    directory: InDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (b"a\\b", b"a\nb", b"\xff.b2nd"):
        fd = os.open(os.fsencode(directory.directory) + b"/" + name, os.O_CREAT | os.O_WRONLY)
        os.close(fd)
    assert directory.source.scan().keys() == CONTENTS.keys()
    assert len(caplog.messages) == 3
    assert all(message.isprintable() for message in caplog.messages)


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, ARRAY[:-10], ARRAY[:100], BYTES])
def test_a_corrupt_array_is_named_while_others_are_served(
    directory: InDirectory, content: bytes
) -> None:
    directory.put("d/bad.b2nd", content)
    directory.source.scan()
    with pytest.raises(SourceCorrupt, match=r"d/bad\.b2nd"):
        directory.source.info(DatasetPath("d/bad.b2nd"))
    assert len(_chunks(directory, "a.b2nd", list(range(10)))) > 0


def _lazy_expression(path: str, operand: Any) -> None:
    (operand + 1).save(path)


def _lazy_function(path: str, operand: Any) -> None:
    def plus_one(inputs: Any, output: Any, _: Any) -> None:
        output[:] = inputs[0] + 1

    made = blosc2.lazyudf(
        plus_one, (operand,), operand.dtype, chunks=operand.chunks, blocks=operand.blocks
    )
    made.save(path)


def _proxy(path: str, operand: Any) -> None:
    blosc2.Proxy(operand, urlpath=path)


def _reference(path: str, operand: Any) -> None:
    marker = {"b2o": {"kind": "c2array", "version": 1}}
    blosc2.empty(operand.shape, operand.dtype, urlpath=path, meta=marker)


@pytest.mark.parametrize(
    ("save", "why"),
    [
        (_lazy_expression, "computed, not stored (lazyexpr)"),
        (_lazy_function, "computed, not stored (LazyArray)"),
        (_proxy, "a proxy of data elsewhere"),
        (_reference, "refers to data elsewhere (c2array)"),
    ],
)
def test_what_holds_no_data_of_its_own_is_refused_with_one_warning(
    directory: InDirectory,
    caplog: pytest.LogCaptureFixture,
    save: Callable[[str, Any], None],
    why: str,
) -> None:
    operand = blosc2.asarray(np.arange(100), urlpath=str(directory.directory / "x.b2nd"))
    save(str(directory.directory / "lazy.b2nd"), operand)
    for _ in range(2):
        etag = directory.source.scan()[DatasetPath("lazy.b2nd")].etag
    assert caplog.text.count("lazy.b2nd can't be served") == 1
    assert why in caplog.text
    for ask in (
        lambda: directory.source.info(DatasetPath("lazy.b2nd")),
        lambda: next(directory.source.chunks(DatasetPath("lazy.b2nd"), etag, [0])),
    ):
        with pytest.raises(SourceCorrupt, match=re.escape(why)):
            ask()
    assert len(_chunks(directory, "x.b2nd", [0])) > 0


def test_a_corrupt_chunk_is_named(directory: InDirectory) -> None:
    raw = samples.raw_chunks(ARRAY)[3]
    at = ARRAY.index(raw)
    directory.put("bad.b2nd", ARRAY[:at] + b"\xff" * 32 + ARRAY[at + 32 :])
    _chunks(directory, "bad.b2nd", [0, 1])
    with pytest.raises(SourceCorrupt, match=r"bad\.b2nd"):
        _chunks(directory, "bad.b2nd", [3])


def test_a_rewrite_of_equal_length_and_time_is_another_version(directory: InDirectory) -> None:
    path = directory.directory / "README.md"
    status, old = path.stat(), _etag(directory, "README.md")
    path.write_bytes(b"# Ho\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert _etag(directory, "README.md") != old
    with pytest.raises(StaleVersion):
        _read(directory, "README.md", 0, 5, old)


def test_a_change_in_the_middle_of_a_large_file_is_another_version(directory: InDirectory) -> None:
    content = bytearray(100_000)
    directory.put("x.bin", bytes(content))
    old = _etag(directory, "x.bin")
    content[50_000] = 1
    directory.put("x.bin", bytes(content))
    assert _etag(directory, "x.bin") != old


def test_a_file_that_changes_while_it_is_read_is_never_mixed(directory: InDirectory) -> None:
    size = 3 * limits.REPLY_BYTES
    directory.put("x.bin", b"a" * size)
    pieces = directory.source.read_bytes(DatasetPath("x.bin"), _etag(directory, "x.bin"), 0, size)
    next(pieces)
    with (directory.directory / "x.bin").open("r+b") as file:
        file.write(b"b" * size)
    with pytest.raises(StaleVersion):
        list(pieces)


def test_a_chunk_that_is_just_being_written_is_stale_and_not_damaged(
    directory: InDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag, read = _etag(directory, "a.b2nd"), FrameReader._run

    def overtaken(reader: FrameReader, ids: list[int]) -> Run:
        with (directory.directory / "a.b2nd").open("r+b") as file:
            file.seek(reader.header.length)
            file.write(b"\xff" * reader.header.cbytes)
        return read(reader, ids)

    monkeypatch.setattr(FrameReader, "_run", overtaken)
    with pytest.raises(StaleVersion):
        _chunks(directory, "a.b2nd", [3], etag)


def test_blocks_of_a_file_that_changes_while_they_are_read_are_stale(
    directory: InDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag, read = _etag(directory, "a.b2nd"), FrameReader.blocks

    def overtaken(reader: FrameReader, n: int, ids: Sequence[int]) -> blocks.Cut:
        (directory.directory / "a.b2nd").write_bytes(OTHER)
        return read(reader, n, ids)

    monkeypatch.setattr(FrameReader, "blocks", overtaken)
    with pytest.raises(StaleVersion):
        directory.source.blocks(DatasetPath("a.b2nd"), etag, 3, [0])


def test_a_replaced_array_is_never_mixed(directory: InDirectory) -> None:
    etag = _etag(directory, "a.b2nd")
    _chunks(directory, "a.b2nd", [0])
    new = directory.directory / "a.new"
    new.write_bytes(OTHER)
    os.replace(new, directory.directory / "a.b2nd")
    with pytest.raises(StaleVersion):
        _chunks(directory, "a.b2nd", [1], etag)


def test_readers_of_many_versions_do_not_pile_up(directory: InDirectory) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for n in range(200):
        directory.put(f"n/{n}.b2nd", ARRAY)
        with contextlib.suppress(CatervaError):
            directory.source.info(DatasetPath(f"n/{n}.b2nd"))
    assert len(os.listdir("/proc/self/fd")) - before < 150
    directory.source.close()
    assert len(os.listdir("/proc/self/fd")) - before < 10
