"""What a publisher can serve: one suite for every source."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import samples
from rootkinds import ARRAY, BYTES, CONTENTS, OTHER, TIME_LIMIT, Root, _chunks, _etag, _read

from caterva2.errors import (
    BadRequest,
    NotFound,
    StaleVersion,
)
from caterva2.frames import blocks, compose
from caterva2.limits import DEFAULTS, constants
from caterva2.names import DatasetPath

# --- every source ---


def test_a_scan_lists_every_array(shared_arrays: Root) -> None:
    found = shared_arrays.source.scan()
    assert {path: entry.kind for path, entry in found.items()} == {
        "a.b2nd": "array", "d/e/b.b2nd": "array",
    }  # fmt: skip
    assert all(path == entry.path and entry.size for path, entry in found.items())


@pytest.mark.parametrize("scope", ["d", "d/e", "a.b2nd", "x", "a", "d/h", "a.b2nd/x"])
def test_a_scan_of_a_scope_holds_the_arrays_below_it(shared_arrays: Root, scope: str) -> None:
    whole = shared_arrays.source.scan()
    part = {p: e for p, e in whole.items() if p == scope or p.startswith(scope + "/")}
    assert shared_arrays.source.scan(scope) == part


@pytest.mark.parametrize("path", ["a.b2nd", "d/e/b.b2nd"])
def test_info_is_of_the_version_of_the_array_that_is_listed(shared_arrays: Root, path: str) -> None:
    entry = shared_arrays.source.scan()[DatasetPath(path)]
    info = shared_arrays.source.info(DatasetPath(path))
    assert (info.path, info.etag, info.mtime) == (path, entry.etag, entry.mtime)


@pytest.mark.parametrize("path", ["x.b2nd", "d.b2nd", "d/x.b2nd", "a.b2nd/x.b2nd"])
def test_an_array_that_does_not_exist(shared_arrays: Root, path: str) -> None:
    with pytest.raises(NotFound):
        shared_arrays.source.info(DatasetPath(path))
    with pytest.raises(NotFound):
        _chunks(shared_arrays, path, [0], "e")


def test_an_array_has_no_bytes_of_another_version(shared_arrays: Root) -> None:
    with pytest.raises(StaleVersion):
        _read(shared_arrays, "a.b2nd", 0, 1, "another")


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


def test_a_source_takes_a_deadline_and_answers_before_it(shared_arrays: Root) -> None:
    path, soon = DatasetPath("a.b2nd"), time.monotonic() + TIME_LIMIT
    info = shared_arrays.source.info(path, soon)
    runs = shared_arrays.source.chunks(path, info.etag, [0, 1], soon)
    raw = samples.raw_chunks(ARRAY)
    assert b"".join(run.payload for run in runs) == raw[0] + raw[1]
    assert shared_arrays.source.blocks(path, info.etag, 0, [0], soon).ids == (0,)


def test_bytes_take_a_deadline_too(root: Root) -> None:
    etag, soon = _etag(root, "README.md"), time.monotonic() + TIME_LIMIT
    pieces = root.source.read_bytes(DatasetPath("README.md"), etag, 0, 5, soon)
    assert b"".join(pieces) == CONTENTS["README.md"]


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


def test_info_of_an_array(shared_arrays: Root) -> None:
    info = shared_arrays.source.info(DatasetPath("a.b2nd"))
    assert (info.shape, info.chunks, info.blocks, info.dtype) == ((100,), (10,), (5,), "<i8")
    assert info.vlmeta == {"a": b"\x01"}


def test_info_of_a_file(root: Root) -> None:
    info = root.source.info(DatasetPath("README.md"))
    assert (info.shape, info.chunksize, info.nbytes) == ((5,), constants.FILE_CHUNK, 5)


def test_chunks_make_up_the_array(shared_arrays: Root) -> None:
    info = shared_arrays.source.info(DatasetPath("a.b2nd"))
    chunks = [_chunks(shared_arrays, "a.b2nd", [n]) for n in range(info.nchunks)]
    frame = compose.frame(compose.template(info), chunks)
    np.testing.assert_array_equal(samples.opened(frame), np.arange(100))


def test_chunks_come_in_the_order_asked_for(shared_arrays: Root) -> None:
    raw = samples.raw_chunks(ARRAY)
    assert _chunks(shared_arrays, "a.b2nd", [7, 0, 1, 7]) == raw[7] + raw[0] + raw[1] + raw[7]


def test_blocks_are_those_of_the_chunk(shared_arrays: Root) -> None:
    etag, raw = _etag(shared_arrays, "a.b2nd"), samples.raw_chunks(ARRAY)
    for n, ids in ((0, [0]), (7, [1, 0]), (9, [1])):
        found = shared_arrays.source.blocks(DatasetPath("a.b2nd"), etag, n, ids)
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
def test_blocks_that_do_not_exist(shared_arrays: Root, n: int, ids: list[int]) -> None:
    with pytest.raises(NotFound):
        shared_arrays.source.blocks(DatasetPath("a.b2nd"), _etag(shared_arrays, "a.b2nd"), n, ids)


def test_a_plain_file_has_no_blocks(root: Root) -> None:
    with pytest.raises(BadRequest):
        root.source.blocks(DatasetPath("README.md"), _etag(root, "README.md"), 0, [0])


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (1, 3), (5, 5), (0, 0)])
def test_bytes_of_a_file(root: Root, start: int, stop: int) -> None:
    assert _read(root, "README.md", start, stop) == b"# Hi\n"[start:stop]


def test_a_large_file_comes_in_pieces(root: Root) -> None:
    content = np.random.default_rng(0).bytes(2 * DEFAULTS.publisher.reply_bytes + 5)
    root.put("big.bin", content)
    etag = _etag(root, "big.bin")
    pieces = list(root.source.read_bytes(DatasetPath("big.bin"), etag, 0, len(content)))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= DEFAULTS.publisher.reply_bytes


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 6)])
def test_bytes_that_do_not_exist(root: Root, start: int, stop: int) -> None:
    with pytest.raises(BadRequest):
        _read(root, "README.md", start, stop)


@pytest.mark.parametrize("n", [-1, 10])
def test_a_chunk_that_does_not_exist(shared_arrays: Root, n: int) -> None:
    with pytest.raises(NotFound):
        _chunks(shared_arrays, "a.b2nd", [n])


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


def test_an_etag_stays_while_nothing_changes(shared_arrays: Root) -> None:
    before = {path: entry.etag for path, entry in shared_arrays.source.scan().items()}
    _chunks(shared_arrays, "a.b2nd", [0])
    assert {path: entry.etag for path, entry in shared_arrays.source.scan().items()} == before


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
