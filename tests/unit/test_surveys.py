"""Overviews of stored datasets: of planes, lines and fields, whatever their chunks are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import blosc2
import numpy as np
import numpy.typing as npt
import pytest
from samples import array_frame, byte_frame, describe, fill, raw_chunks
from specialworld import ANN, World

from caterva2.arrays import fields, selection
from caterva2.arrays.overviews import Overview, Survey
from caterva2.cache.store import Store
from caterva2.errors import SourceCorrupt
from caterva2.model import Upload
from caterva2.names import Place, RootName
from caterva2.reading import bands, surveys
from caterva2.reading.scope import DEFAULT_SCOPE, ReadScope

Array = npt.NDArray[Any]
RNG = np.random.default_rng(3)
STACK = RNG.integers(0, 2000, (12, 70, 90), np.uint16)
LARGE = RNG.standard_normal((1300, 1100)).astype(np.float32)


async def put(world: World, name: str, content: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    await world.view(ANN).upload(Place.parse(f"@public/{name}"), Upload(name, pieces()))


async def look(world: World, name: str, key: str = "", **asked: Any) -> Overview:
    place = Place.parse(f"@public/{name}")
    found = await world.view(ANN).dataset(place.root, place.path)
    field = fields.find(found.info, asked.pop("field")) if "field" in asked else ()
    chosen = selection.parse(key, found.info.shape)
    return await found.survey(Survey(chosen, field, **asked))


def compare(found: Overview, values: Array) -> None:
    """Compare the range of each bin, and of all values, with those of numpy."""
    assert found.values is not None and found.exact
    widths = [-(-n // 16) for n in values.shape]
    for place in np.ndindex(found.bins):
        box = values[tuple(slice(n * w, (n + 1) * w) for n, w in zip(place, widths, strict=True))]
        assert found.values[place].tolist() == [box.min(), box.max()]
    assert found.shape == values.shape and found.statistics.count == values.size
    assert (found.statistics.min, found.statistics.max) == (values.min(), values.max())
    assert found.statistics.mean == pytest.approx(values.mean(dtype=float))


KEYS = ("3", ":,5", ":,:,7", "::-1,4", "2:11:3,:,8", "5,10:60:7,::-9", "1,2", ":,69,89", "0,0:0")


@pytest.mark.parametrize("chunks, blocks", [((4, 32, 64), (2, 16, 64)), ((12, 70, 90), (1, 7, 90))])
def test_planes_and_lines_are_those_of_numpy(tmp_path: Path, chunks: Any, blocks: Any) -> None:
    async def main() -> None:
        async with World.running(tmp_path) as world:
            await put(world, "a.b2nd", array_frame(STACK, chunks=chunks, blocks=blocks))
            for key in KEYS:
                found = await look(world, "a.b2nd", key, size=16)
                values = STACK[eval(f"np.s_[{key}]")]
                if values.size:
                    compare(found, values)
                else:
                    assert found.statistics.count == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "blocks, filters",
    [
        pytest.param((100, 1100), None, marks=pytest.mark.slow),
        ((64, 70), None),
        ((100, 1100), [3, 1]),
    ],
)
def test_chunks_of_many_bands_are_read_once_and_whole(
    tmp_path: Path, blocks: Any, filters: Any
) -> None:
    cparams = {"filters": filters, "filters_meta": [0] * len(filters)} if filters else {}

    async def main() -> None:
        async with World.running(tmp_path) as world:
            frame = array_frame(LARGE, chunks=(800, 1100), blocks=blocks, cparams=cparams)
            await put(world, "a.b2nd", frame)
            for key in ("", "::-1,:1000", "::3,17:1100:2", "5"):
                values = LARGE[eval(f"np.s_[{key or ':'}]")]
                compare(await look(world, "a.b2nd", key, size=16), values)

    asyncio.run(main())


@pytest.mark.parametrize("key, pieces", [("1", 1), ("1,::-1", 2), ("1,10:", 2), ("2", 1)])
def test_a_plane_that_is_a_chunk_is_decoded_at_once(
    key: str, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = RNG.integers(0, 99, (3, 700, 1000), np.int32)
    frame = array_frame(stack, chunks=(1, 700, 1000), blocks=(1, 350, 1000))
    info, raw = describe(frame), raw_chunks(frame)
    replica = Mock(info=info, sealed=None, read=lambda ids: [raw[n] for n in ids])
    chosen = selection.parse(key, stack.shape)
    decompress = Mock(wraps=blosc2.decompress2)
    monkeypatch.setattr(blosc2, "decompress2", decompress)
    found = [piece for piece, _ in bands.bands(replica, chosen, ReadScope())]
    assert len(found) == pieces
    threads = [call.kwargs.get("nthreads") for call in decompress.call_args_list]
    assert threads == [1] * (pieces == 1)  # other threads decode other chunks meanwhile
    assert (np.concatenate(found) == stack[eval(f"np.s_[{key}]")]).all()


def test_fields_expressions_and_bytes_have_overviews(tmp_path: Path) -> None:
    records = np.zeros((300, 200), [("t", ">f8"), ("n", [("lo", "i2"), ("hi", "i2")])])
    records["t"], records["n"]["hi"] = RNG.standard_normal((300, 200)), 7
    data = RNG.integers(0, 256, 100_000, np.uint8).tobytes()

    async def main() -> None:
        async with World.running(tmp_path) as world:
            await put(world, "r.b2nd", array_frame(records))
            compare(await look(world, "r.b2nd", "", size=16, field="t"), records["t"])
            compare(await look(world, "r.b2nd", "4", size=16, field="n.hi"), records["n"]["hi"][4])
            await put(world, "b.b2frame", byte_frame(data, 9000))
            await put(world, "plain.dat", data)
            for name in ("b.b2frame", "plain.dat"):
                found = await look(world, name, "", size=16)
                compare(found, np.frombuffer(data, np.uint8))
            await put(world, "a.b2nd", array_frame(STACK.astype("f8"), chunks=(4, 32, 64)))
            await world.express(ANN, "@public/c.b2nd", "a * 2 + 1", a="@public/a.b2nd")
            compare(await look(world, "c.b2nd", "3", size=16), STACK[3].astype("f8") * 2 + 1)

    asyncio.run(main())


def test_statistics_are_of_any_number_of_axes(tmp_path: Path) -> None:
    async def main() -> None:
        async with World.running(tmp_path) as world:
            await put(world, "a.b2nd", array_frame(STACK, chunks=(4, 32, 64)))
            for key, values in (
                ("", STACK),
                ("::2,:,3:", STACK[::2, :, 3:]),
                ("1,2,3", STACK[1, 2, 3]),
            ):
                found = (await look(world, "a.b2nd", key)).statistics
                assert (found.count, found.min, found.max) == (
                    values.size,
                    values.min(),
                    values.max(),
                )
                assert found.std == pytest.approx(values.std())
                assert (found.p1, found.p99) == pytest.approx(tuple(np.percentile(values, (1, 99))))

    asyncio.run(main())


def test_a_coarse_overview_says_so_and_shows_about_the_plane(tmp_path: Path) -> None:
    rows = np.repeat(np.arange(2000, dtype=np.float32), 1000).reshape(2000, 1000)

    async def main() -> None:
        async with World.running(tmp_path) as world:
            await put(world, "a.b2nd", array_frame(rows, chunks=(200, 200), blocks=(20, 20)))
            found = await look(world, "a.b2nd", "", size=50, reduce="mean", coarse=100 * 1600)
            assert not found.exact and found.shape == (2000, 1000) and found.values is not None
            assert found.statistics.count <= 100 * 400
            across = found.values[:, 0]
            expected = (np.arange(len(across)) + 0.5) * 2000 / len(across)
            assert np.abs(across - expected).max() < 200

    asyncio.run(main())


def test_a_damaged_chunk_ends_it_with_an_error_that_names_the_dataset(tmp_path: Path) -> None:
    values = np.arange(LARGE.size, dtype=np.int32).reshape(LARGE.shape)  # its blocks are compressed
    frame = bytearray(array_frame(values, chunks=(650, 1100), blocks=(50, 1100)))
    second = raw_chunks(bytes(frame))[1]
    at = frame.find(second) + len(second) // 2
    frame[at : at + 5000] = b"\xff" * 5000

    async def main() -> None:
        async with World.running(tmp_path) as world:
            root = await world.special.get(Place.parse("@public/x").root, ANN)
            (root.directory.path / "a.b2nd").write_bytes(frame)
            await root.followed.scan("a.b2nd")
            with pytest.raises(SourceCorrupt, match=r"@public/a\.b2nd"):
                await look(world, "a.b2nd", "", size=16)

    asyncio.run(main())


def test_a_cancelled_overview_begins_no_further_part(tmp_path: Path) -> None:
    class Slow:
        info: Any
        begun = 0

        def __init__(self) -> None:
            self.began = asyncio.Event()

        async def reduce(self, part: Any, work: Any) -> Any:
            self.begun += 1
            self.began.set()
            await asyncio.Event().wait()

    async def main() -> None:
        async with World.running(tmp_path) as world:
            await put(world, "a.b2nd", array_frame(LARGE, chunks=(650, 1100), blocks=(50, 1100)))
            place = Place.parse("@public/a.b2nd")
            slow = Slow()
            slow.info = (await world.view(ANN).dataset(place.root, place.path)).info
            asked = Survey(selection.whole(LARGE.shape), size=16)
            task = asyncio.create_task(surveys.survey(slow, asked, world.subscriber.pool.scope))
            async with asyncio.timeout(10):
                await slow.began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert slow.begun <= 2

    asyncio.run(main())


@pytest.mark.parametrize("key", ["810:1290", "1290:805:-7,3", "900:,17:1000:2"])
def test_bands_of_a_chunk_come_from_a_replica_that_lacks_others(store: Store, key: str) -> None:
    frame = array_frame(LARGE, chunks=(800, 1100), blocks=(100, 1100))
    replica = store.replica(RootName("foo"), describe(frame))
    part = selection.parse(key, LARGE.shape)
    ((missing, _),) = bands.bands(replica, part, DEFAULT_SCOPE)
    assert missing is None
    fill(replica, raw_chunks(frame), [1])
    found = np.full(part.result_shape, np.nan, np.float32)
    pieces = list(bands.bands(replica, part, DEFAULT_SCOPE))
    for values, place in pieces:
        assert values is not None
        found[tuple(slice(at, at + n) for at, n in zip(place, values.shape, strict=True))] = values
    assert len(pieces) > 1 and (found == LARGE[eval(f"np.s_[{key}]")]).all()
