"""Zarr stores that change while they are served."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
import zarr
from sourcereads import path_of, values_of
from zarrstores import VALUES, put, served

from caterva2.errors import Busy, NotFound, StaleVersion
from caterva2.frames import compose
from caterva2.sources import versions
from caterva2.stores.store import DirectoryStore
from caterva2.stores.zarr import contents
from caterva2.stores.zarr.source import ZarrSource
from tests.thoroughness import thorough

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store.zarr"


def test_an_etag_stays_while_nothing_changes(place: Path) -> None:
    put(place, "a")
    etags = {entry.etag for _ in range(3) for entry in served(place).scan().values()}
    assert len(etags) == 1


def changed(place: Path, how: str) -> None:
    array = zarr.open_group(place, mode="a")["a"]
    assert isinstance(array, zarr.Array)
    if how == "chunk":
        array[0, 0] = -1
    elif how == "shape":
        array.resize((90, 70))
    elif how == "attributes":
        array.attrs["new"] = 1
    elif how == "anew":
        put(place, "a", VALUES[:10] + 1, overwrite=True)
    elif how == "chunk is removed":
        (place / "a/c/0/0").unlink()


WAYS = ["chunk", "shape", "attributes", "anew", "chunk is removed"]


@pytest.mark.parametrize("how", WAYS)
def test_a_change_makes_another_version(how: str, place: Path) -> None:
    put(place, "a")
    source = served(place)
    old = source.info(path_of("a"))
    changed(place, how)
    new = source.info(path_of("a"))
    assert new.etag != old.etag
    with pytest.raises(StaleVersion) as caught:
        list(source.chunks(path_of("a"), old.etag, [0]))
    assert caught.value.info == {"etag": new.etag}
    expected = zarr.open_group(place, mode="r")["a"][...]  # type: ignore[index]
    np.testing.assert_array_equal(values_of(source, "a"), expected)


@pytest.mark.parametrize("how", ["chunk", "anew", "chunk is removed"])
@pytest.mark.parametrize("shards", [None, (60, 70)])
def test_a_chunk_that_changes_between_scan_and_read_is_not_given(
    how: str, shards: Any, place: Path
) -> None:
    put(place, "a", shards=shards)
    source = served(place)
    etag = source.info(path_of("a")).etag
    changed(place, how)
    with pytest.raises(StaleVersion):
        list(source.chunks(path_of("a"), etag, [0]))


def test_a_chunk_that_appears_is_not_mixed_with_fill_values(place: Path) -> None:
    array = put(place, "a", VALUES * 0)
    source = served(place)
    etag = source.info(path_of("a")).etag
    array[...] = VALUES
    with pytest.raises(StaleVersion):
        list(source.chunks(path_of("a"), etag, [1]))


def test_rewrites_within_one_tick_of_the_clock_are_not_mixed(place: Path) -> None:
    put(place, "a", np.zeros(10) + 1, chunks=(10,), compressors=None)
    chunk, source = place / "a/c/0", served(place)
    for n in range(20):
        with chunk.open("r+b") as file:
            file.write(np.full(10, n + 1.0).tobytes())
        found = values_of(source, "a")
        assert set(found.tolist()) == {n + 1.0}


def test_an_array_is_listed_once_a_scan(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At first it was twice: to find that it is one, and then with its chunks."""
    for name in ("g/a", "g/b"):
        put(place, name)
    listed, children = Counter[str](), DirectoryStore.children

    def counted(store: DirectoryStore, prefix: str) -> Any:
        listed[prefix] += 1
        return children(store, prefix)

    source = served(place)
    monkeypatch.setattr(DirectoryStore, "children", counted)
    source.scan()
    assert {name: listed[name] for name in ("", "g", "g/a", "g/b")} == {
        "": 1, "g": 1, "g/a": 1, "g/b": 1
    }  # fmt: skip


def test_an_object_that_was_written_just_now_proves_nothing(place: Path) -> None:
    put(place, "a")
    store = DirectoryStore(place)
    for _ in range(20):
        (place / "a/c/0/0").write_bytes(b"new")
        found = contents.listed(store, "a").with_metadata(())
        _, stamp = store.read("a/c/0/0", 10) or (b"", None)
        assert stamp is not None
        if stamp.is_settled(found.seen):
            continue  # a writer that was held up
        assert not found.is_settled
        assert not found.is_of("c/0/0", stamp)
        time.sleep(2 * versions.TICK)  # until it proves something
        assert contents.listed(store, "a").with_metadata(()).is_of("c/0/0", stamp)
        return
    pytest.fail("no write was recent")


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "renamed"])
def test_every_read_is_a_state_that_was_there(in_place: bool, place: Path) -> None:
    """A writer writes chunks in any order, again and again, and notes each state of the array.

    It takes more time where no read came through, as on a busy machine.
    """
    put(place, "a", np.zeros(8 * 50, "i4"), chunks=(50,), compressors=None, fill_value=-1)
    end, chosen, states = threading.Event(), np.random.default_rng(0), [(0,) * 8]
    pause = [versions.TICK]

    def write() -> None:
        while not end.wait(chosen.uniform(1, 3) * pause[-1]):
            n, state = int(chosen.integers(8)), list(states[-1])
            state[n] = len(states)
            states.append(tuple(state))
            rewritten(place / f"a/c/{n}", np.full(50, state[n], "<i4").tobytes(), in_place)

    source, writer = served(place), threading.Thread(target=write)
    writer.start()
    seen = set()
    try:
        until = time.monotonic() + 20
        while len(seen) < (6 if thorough() else 3) and time.monotonic() < until:
            pause.append(1.1 * pause[-1])
            with contextlib.suppress(StaleVersion, Busy):
                found = slowly(source, end).reshape(8, 50)
                assert (found == found[:, :1]).all()
                seen.add(tuple(found[:, 0].tolist()))
                pause.append(versions.TICK)
    finally:
        end.set()
        writer.join(20)
    assert seen <= set(states)
    assert len(seen) > 1
    assert values_of(source, "a").reshape(8, 50)[:, 0].tolist() == list(states[-1])


def slowly(source: ZarrSource, end: threading.Event) -> Any:
    """All values of one version, chunk by chunk, with time for a write in between."""
    info = source.info(path_of("a"))
    pieces = []
    for n in range(info.nchunks):
        pieces += [run.payload for run in source.chunks(path_of("a"), info.etag, [n])]
        end.wait(versions.TICK / 2)
    return samples.opened(compose.frame(compose.template(info), pieces))


def rewritten(file: Path, content: bytes, in_place: bool) -> None:
    if in_place:
        with file.open("r+b") as opened:
            opened.write(content)
    else:
        (file.parent / "partial").write_bytes(content)
        (file.parent / "partial").replace(file)


def test_an_array_that_is_removed_is_gone(place: Path) -> None:
    put(place, "a")
    put(place, "b")
    source = served(place)
    etag = source.info(path_of("a")).etag
    del zarr.open_group(place, mode="a")["a"]
    with pytest.raises(NotFound):
        list(source.chunks(path_of("a"), etag, [0]))
    with pytest.raises(NotFound):
        source.info(path_of("a"))
    assert list(source.scan()) == ["b.b2nd"]


def test_a_zip_that_is_replaced_is_another_version_of_what_differs(
    tmp_path: Path, place: Path
) -> None:
    put(place, "a")
    put(place, "b")
    archive = Path(shutil.make_archive(str(tmp_path / "s"), "zip", place))
    source = served(archive)
    old = {name: source.info(path_of(name)).etag for name in "ab"}
    changed(place, "chunk")
    new = Path(shutil.make_archive(str(tmp_path / "new"), "zip", place))
    new.replace(archive)
    assert source.info(path_of("b")).etag == old["b"]
    with pytest.raises(StaleVersion):
        list(source.chunks(path_of("a"), old["a"], [0]))
    assert values_of(source, "a")[0, 0] == -1


@pytest.mark.parametrize("version", [2, 3])
def test_an_array_that_becomes_a_group_is_one_at_once(version: int, place: Path) -> None:
    put(place, "g/a", zarr_format=version)
    source = served(place)
    for _ in range(2):
        shutil.rmtree(place / "g/a")
        put(place, "g/a/b", zarr_format=version)
        assert [*source.scan()] == ["g/a/b.b2nd"]
        shutil.rmtree(place / "g/a")
        put(place, "g/a", zarr_format=version)
        assert [*source.scan()] == ["g/a.b2nd"]
    (place / "g/a" / ("zarr.json" if version == 3 else ".zarray")).write_text("{")
    assert [*source.scan()] == []
