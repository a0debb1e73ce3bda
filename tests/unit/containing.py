"""Files with datasets for tests of special roots, and methods that wait."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import zarr
from specialworld import ANN, World

from caterva2.model import Upload, User
from caterva2.names import Place

IMAGE = np.arange(60 * 70, dtype=">i4").reshape(60, 70)
LINE = np.linspace(0, 1, 1000)


def hdf5(offset: int = 0) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        group = opened.create_group("scan")
        group.attrs["note"] = "first"
        image = group.create_dataset("image", data=IMAGE + offset, chunks=(16, 70), compression=4)
        image.attrs["unit"] = "counts"
        opened.create_dataset("line", data=LINE, chunks=(100,), **hdf5plugin.Blosc2())
    return file.getvalue()


def zarr_zip(place: Path) -> bytes:
    with zarr.storage.ZipStore(place, mode="w") as store:
        zarr.open_group(store, mode="w").create_array("line", data=LINE, chunks=(100,))
    return place.read_bytes()


async def put(world: World, name: str, content: bytes, user: User = ANN) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    await world.view(user).upload(Place.parse(name), Upload(name.rpartition("/")[2], pieces()))


class Held:
    """Replace a method by one that waits until it may go on."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self._met = threading.Semaphore(0)
        self.count = 0
        self.may = threading.Event()
        method = getattr(owner, name)

        def held(*given: Any) -> Any:
            self.count += 1
            self._met.release()
            assert self.may.wait(20)
            return method(*given)

        patch.setattr(owner, name, held)

    async def met(self, count: int) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self._met.acquire, timeout=20)
