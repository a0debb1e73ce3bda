"""Datasets in files of special roots: how many there may be, and what their listing holds up"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from containing import Held, hdf5, put, zarr_zip
from specialworld import ANN, World

from caterva2.errors import TooLarge
from caterva2.hdf5.source import Hdf5Source
from caterva2.limits import DEFAULTS
from caterva2.model import User
from caterva2.names import PERSONAL, Place
from caterva2.sources.directory.mounts import Mounts
from caterva2.stores.containers import store_formats


def test_a_file_with_too_many_datasets_is_a_file_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few = replace(DEFAULTS, special=replace(DEFAULTS.special, file_datasets=3))
    content = zarr_zip(tmp_path / "a.zip")

    async def work() -> None:
        given = {"formats": store_formats, "limits": few}
        async with World.running(tmp_path / "spaces", **given) as world:
            for name in "abcd":
                await put(world, f"@personal/{name}.zip", content)
            root = await world.special.get(PERSONAL, ANN)
            assert [path for path in root.entries if path.startswith("d")] == ["d.zip"]
            assert "d.zip is served as a file only: with it the files have more" in caplog.text
            assert "FILE_DATASETS, 3, datasets" in caplog.text
            await put(world, "@personal/a.zip", content)  # in place of one that counts
            await world.view(ANN).remove(Place.parse("@personal/b.zip"))
            await put(world, "@personal/e.zip", content)
            assert "a.zip/line.b2nd" in root.entries and "e.zip/line.b2nd" in root.entries

    asyncio.run(work())


def test_a_list_of_hdf5_ends_at_the_datasets_that_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(hdf5())
    source = Hdf5Source(tmp_path / "a.h5", replace(DEFAULTS.publisher, file_datasets=1))
    with pytest.raises(TooLarge, match="it has more than FILE_DATASETS, 1, datasets"):
        source.scan()
    source.close()


def test_files_that_are_listed_slowly_hold_up_no_other_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do more of them than there are threads for all kinds of work."""
    held, content = Held(monkeypatch, Mounts, "_list"), zarr_zip(tmp_path / "a.zip")
    users = [User(str(n), f"{n}@example.com", False) for n in range(3)]

    async def work() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        async with World.running(tmp_path / "spaces", formats=store_formats) as world:
            slow = [asyncio.create_task(put(world, "@personal/a.zip", content, u)) for u in users]
            async with asyncio.timeout(20):
                while held.count < len(users):  # noqa: ASYNC110 - what other threads do
                    await asyncio.sleep(0.01)
                await put(world, "@public/b.bin", b"x")
            assert not any(one.done() for one in slow)
            held.may.set()
            await asyncio.gather(*slow)

    try:
        asyncio.run(work())
    finally:
        held.may.set()
