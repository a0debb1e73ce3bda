"""Files with datasets in special roots: read as directories, and gone with these."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import blosc2
import numpy as np
import pytest
from containing import IMAGE, LINE, Held, hdf5, put, zarr_zip
from samples import array_frame, describe
from specialworld import ANN, World, until

from caterva2.arrays import selection
from caterva2.arrays.overviews import Survey
from caterva2.errors import BadUpload, Conflict, NotFound, SourceCorrupt, StaleVersion
from caterva2.frames.raw import Run
from caterva2.isolation.hdf5 import IsolatedHdf5
from caterva2.model import Entry, Upload
from caterva2.names import PERSONAL, PUBLIC, DatasetPath, Place
from caterva2.sources.catalog import Step
from caterva2.sources.directory.containers import Format
from caterva2.sources.directory.mounts import Mounts
from caterva2.special import roots
from caterva2.special.root import SpecialRoot
from caterva2.special.stored import StoredMember
from caterva2.stores.containers import store_formats


class Formats:
    """The formats of a test, one of which has a process."""

    def __call__(self, place: Path) -> Sequence[Format]:
        self.hdf5 = IsolatedHdf5(place)
        return [self.hdf5, *store_formats(place)]

    @property
    def runs(self) -> bool:
        return self.hdf5._reader._process is not None


async def append(world: World, place: Place, values: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield array_frame(values)

    await world.view(ANN).append(place, Upload("x.b2nd", pieces()))


async def dataset(world: World, name: str) -> Any:
    place = Place.parse(name)
    return await world.view(ANN).dataset(place.root, place.path)


async def values(world: World, name: str) -> Any:
    found = await dataset(world, name)
    return await found.values(selection.whole(found.info.shape))


def test_a_file_of_hdf5_is_read_as_a_directory_by_a_process_that_ends_with_it(
    tmp_path: Path,
) -> None:
    async def work(formats: Formats) -> None:
        async with World.running(tmp_path, formats=formats) as world:
            await put(world, "@public/d/plain.bin", b"x" * 100)
            assert not formats.runs
            await put(world, "@public/d/a.h5", hdf5())
            root = await world.special.get(PUBLIC, ANN)
            files = ["d/a.h5", "d/a.h5/line.b2nd", "d/a.h5/scan/image.b2nd", "d/plain.bin"]
            assert sorted(root.entries) == files
            assert world.special.quota.used == 100 + len(hdf5())
            await read(world)
            await changes(world)
            await world.view(ANN).move(Place.parse("@public/d"), Place.parse("@personal/e/"))
            assert not root.entries
            assert (await values(world, "@personal/e/d/a.h5/scan/image.b2nd") == IMAGE + 5).all()
            await world.view(ANN).remove(Place.parse("@personal"))
            assert not formats.runs and world.special.quota.used == 0

    asyncio.run(work(Formats()))


async def read(world: World) -> None:
    """Read a dataset in the ways that there are."""
    image = await dataset(world, "@public/d/a.h5/scan/image.b2nd")
    assert b"counts" in image.info.vlmeta["unit"] and not image.offline
    assert (await values(world, "@public/d/a.h5/scan/image.b2nd") == IMAGE).all()
    assert (await values(world, "@public/d/a.h5/line.b2nd") == LINE).all()
    frame = await image.frame(selection.whole(image.info.shape))
    whole = frame.pread(frame.size, 0)
    assert (blosc2.ndarray_from_cframe(whole)[:] == IMAGE).all()
    asked = Survey(selection.whole(image.info.shape), size=10)
    assert (await image.survey(asked)).statistics.max == IMAGE.max()
    assert len(await image.blocks(1, [0])) == 1
    await world.express(ANN, "@public/e.b2nd", "x + 1", x="@public/d/a.h5/line.b2nd")
    assert await world.read(ANN, "@public/e.b2nd") == (LINE + 1).tolist()
    await world.view(ANN).remove(Place.parse("@public/e.b2nd"))


async def changes(world: World) -> None:
    """What is in a file changes with the file alone; a copy of it is a file of its own."""
    inside, view = Place.parse("@public/d/a.h5/line.b2nd"), world.view(ANN)
    with pytest.raises(BadUpload, match=r"d/a\.h5/line\.b2nd is in the file d/a\.h5"):
        await view.remove(inside)
    with pytest.raises(BadUpload, match="is in the file"):
        await view.move(inside, Place.parse("@public/x.b2nd"))
    with pytest.raises(BadUpload, match="is in the file"):
        await append(world, inside, LINE)
    with pytest.raises(Conflict):
        await put(world, "@public/d/a.h5/new.bin", b"x")
    await view.copy(inside, Place.parse("@public/copy.b2nd"))
    assert (await values(world, "@public/copy.b2nd") == LINE).all()
    await view.remove(Place.parse("@public/copy.b2nd"))
    before = await dataset(world, "@public/d/a.h5/scan/image.b2nd")
    await put(world, "@public/d/a.h5", hdf5(5))
    with pytest.raises(StaleVersion):
        await before.values(selection.whole(before.info.shape))
    assert (await values(world, "@public/d/a.h5/scan/image.b2nd") == IMAGE + 5).all()


def test_zarr_in_a_zip_is_read_as_a_directory_and_nonsense_stays_a_file(tmp_path: Path) -> None:
    content = zarr_zip(tmp_path / "a.zip")
    formats = Formats()

    async def work() -> None:
        async with World.running(tmp_path / "spaces", formats=formats) as world:
            await put(world, "@personal/a.zip", content)
            assert (await values(world, "@personal/a.zip/line.b2nd") == LINE).all()
            assert not formats.runs
            await put(world, "@personal/bad.h5", hdf5()[:3000])
            root = await world.special.get(PERSONAL, ANN)
            assert sorted(root.entries) == ["a.zip", "a.zip/line.b2nd", "bad.h5"]
            assert (await values(world, "@personal/bad.h5")).nbytes == 3000
            await world.view(ANN).remove(Place.parse("@personal/bad.h5"))
            assert not formats.runs
            with pytest.raises(NotFound):
                await dataset(world, "@personal/a.zip/other.b2nd")

    asyncio.run(work())


def test_chunks_of_a_file_pass_the_gate() -> None:
    info = describe(array_frame(LINE))
    run = Run([0], [100], bytes(100))
    source = Mock(info=lambda *_: info, chunks=lambda *_: iter([run]))
    found = StoredMember.open(source, info.path)
    with pytest.raises(SourceCorrupt):
        found.read(np.array([0]))


def test_the_lists_of_a_former_run_are_made_anew(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path, formats=Formats()) as world:
            await put(world, "@personal/a.h5", hdf5())
        async with World.running(tmp_path, formats=Formats()) as world:
            root = await world.special.get(PERSONAL, ANN)
            assert DatasetPath("a.h5/line.b2nd") in root.entries
            assert world.special.quota.used == len(hdf5())

    asyncio.run(work())


def test_what_is_read_slowly_in_files_holds_up_no_other_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, content = Held(monkeypatch, StoredMember, "read"), zarr_zip(tmp_path / "a.zip")

    async def work() -> None:
        async with World.running(tmp_path / "spaces", formats=Formats()) as world:
            await put(world, "@personal/a.zip", content)
            await world.upload(ANN, "@personal/b.b2nd", LINE)
            inside = [values(world, "@personal/a.zip/line.b2nd") for _ in range(4)]
            slow = asyncio.gather(*inside)
            await held.met(2)  # as many as there are threads for all other reads
            try:
                async with asyncio.timeout(10):
                    assert (await values(world, "@personal/b.b2nd") == LINE).all()
            finally:
                held.may.set()
            assert all((one == LINE).all() for one in await slow)

    asyncio.run(work())


def test_a_start_does_not_wait_for_files_that_are_listed_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zarr_zip(tmp_path / "a.zip")
    monkeypatch.setattr(roots, "LISTING_S", -1.0)

    async def work() -> None:
        async with World.running(tmp_path / "spaces", formats=Formats()) as world:
            for name in ("a", "b"):
                await put(world, f"@personal/{name}.zip", content)
        held = Held(monkeypatch, Mounts, "_list")
        async with World.running(tmp_path / "spaces", formats=Formats()) as world:
            root = await world.special.get(PERSONAL, ANN)
            assert sorted(root.entries) == ["a.zip", "b.zip"]
            await held.met(1)
            await put(world, "@public/other.bin", b"x")
            held.may.set()
            await until(root, lambda: len(root.entries) == 4)
            await put(world, "@personal/c.zip", content)
            await until(root, lambda: len(root.entries) == 6)

    asyncio.run(work())


def test_a_file_that_goes_before_it_was_listed_is_closed() -> None:
    found: Any = Mock()
    found.name = "HDF5"
    mounts, version = Mounts([found], Mock(), Mock()), Mock(etag="e")
    mounts.until = 0.0
    for _ in range(2):
        assert not mounts.look(DatasetPath("a.h5"), 0, version, settled=True).is_final
    assert mounts.left == {"a.h5"}
    mounts.keep("", set())
    assert not mounts.left
    found.forget.assert_called_once_with("a.h5")
    found.open.assert_not_called()


def test_no_file_is_met_while_the_process_ends(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(hdf5())
    files, happened = IsolatedHdf5(tmp_path), list[str]()

    def meet(path: str) -> None:
        with (tmp_path / "a.h5").open("rb") as file:
            assert files.recognises(path, file.fileno())
        happened.append(f"met {path}")

    other = threading.Thread(target=meet, args=("b.h5",))

    def rest() -> None:
        other.start()
        other.join(0.05)
        happened.append("ended")

    meet("a.h5")
    files._reader = Mock(rest=rest)
    files.forget("a.h5")
    other.join(20)
    assert happened == ["met a.h5", "ended", "met b.h5"]


class Counting(dict[Any, Any]):
    """Entries that count how often they are asked for a path."""

    asked = 0

    def __contains__(self, path: object) -> bool:
        self.asked += 1
        return super().__contains__(path)


def test_bytes_of_many_datasets_in_a_file_are_counted_by_their_directories() -> None:
    names = ["d/a.h5", *(f"d/a.h5/b/c/d/{n}.b2nd" for n in range(1000))]
    entries = Counting({name: Entry(DatasetPath(name), "file", "e", 5, 0.0) for name in names})
    root: Any = Mock(entries=entries)
    made = [Step(0, one.path, one) for one in entries.values()]
    assert sum(SpecialRoot._grown(root, made)) == 5
    assert SpecialRoot.size_below(root, DatasetPath("d")) == 5
    root.entries = Counting()
    gone = [Step(0, one.path, None, one) for one in entries.values()]
    assert sum(SpecialRoot._grown(root, gone)) == -5
    assert entries.asked + root.entries.asked < 100
