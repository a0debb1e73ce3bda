"""Datasets of every kind come through whole and in parts, or are refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.limits import ClientLimits
from tests.conftest import Stack

RECORD = [("a", "<i4"), ("b", [("c", "<f8"), ("d", "S2")])]
MANY = [(f"channel_number_{n:05d}", "<f8") for n in range(300)]
TITLES = [(("the first one", "a"), "<i4"), ("b", "<f4")]
ARRAYS: dict[str, Callable[[], Any]] = {
    "scalar": lambda: np.array(5.5),
    "empty": lambda: np.empty((0, 4)),
    "bool": lambda: np.arange(50) % 3 == 0,
    "float16": lambda: np.arange(50, dtype="f2"),
    "big-endian": lambda: np.arange(50, dtype=">i4"),
    "date": lambda: np.arange("2026-01-01", "2026-03-01", dtype="M8[D]"),
    "text": lambda: np.array(["a", "längeres", ""] * 20),
    "long-items": lambda: np.array([b"x" * 300, b"y" * 299] * 20),
    "record": lambda: np.array([(1, (2.0, b"x"))], RECORD),
    "many-fields": lambda: np.arange(600.0).view(MANY),
    "nans": lambda: np.full((20, 20), np.nan),
    "16-d": lambda: np.arange(2**16).reshape((2,) * 16),
}  # fmt: skip
FRAMES = {
    "plain": {"chunksize": 5000, "data": b"Hello world!" * 1000},
    "tail": {"chunksize": 100, "data": bytes(range(250))},
    "odd": {"chunksize": 80, "data": bytes(100), "cparams": {"typesize": 8}},
    "odd-items": {"chunksize": 800, "data": bytes(1000) + b"x", "cparams": {"typesize": 8}},
    "empty": {"chunksize": 100},
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("kinds")
    for name, make in ARRAYS.items():
        blosc2.asarray(make(), urlpath=str(directory / f"{name}.b2nd"))
    for name, content in FRAMES.items():
        blosc2.SChunk(urlpath=str(directory / f"{name}.b2frame"), **content)  # type: ignore[arg-type]
    for name, array in {
        "uninit": blosc2.uninit(
            (100,), dtype="i4", chunks=(10,), urlpath=str(directory / "u.b2nd")
        ),
        "zeros": blosc2.zeros((100,), dtype="i4", chunks=(10,), urlpath=str(directory / "z.b2nd")),
        "full": blosc2.full((100,), 7, chunks=(10,), urlpath=str(directory / "f.b2nd")),
    }.items():
        assert array.shape == (100,), name
    zfp = {"codec": blosc2.Codec.ZFP_RATE, "codec_meta": 50, "filters": []}
    never = {"splitmode": blosc2.SplitMode.NEVER_SPLIT}
    smooth = np.linspace(0, 1, 6000).reshape(60, 100)
    blosc2.asarray(
        smooth, chunks=(20, 50), blocks=(8, 8), urlpath=str(directory / "zfp.b2nd"),
        cparams={**zfp, **never},
    )  # fmt: skip
    titles = np.array([(1, 2.0), (3, 4.0)], TITLES)
    blosc2.asarray(titles, urlpath=str(directory / "titles.b2nd"))
    values = np.arange(30_000.0).reshape(300, 100)
    blosc2.asarray(values, chunks=(100, 100), urlpath=str(directory / "grown.b2nd"))
    grown = blosc2.open(str(directory / "grown.b2nd"), mode="a")
    grown.resize((400, 100))
    grown[300:] = np.ones((100, 100))
    grown[:100] = np.random.default_rng(0).random((100, 100))
    return directory


@pytest.fixture(scope="module")
def kinds(
    source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, caterva2.Client]]:
    stack = Stack(tmp_path_factory.mktemp("services"))
    try:
        yield stack, stack.start(kinds=source)
    finally:
        stack.stop_all()


def test_record_with_titles_comes_through_without_them(
    kinds: tuple[Stack, caterva2.Client],
) -> None:
    array = kinds[1].get("kinds/titles.b2nd")
    for values in (array[:], array[:1], array[:]):
        assert values.dtype == [("a", "<i4"), ("b", "<f4")]
        assert values.tolist() == [(1, 2.0), (3, 4.0)][: len(values)]
    assert array["b"][:].tolist() == [2.0, 4.0]


@pytest.mark.parametrize("name", [*ARRAYS, "z", "f", "grown", "zfp"])
def test_array_comes_through(kinds: tuple[Stack, caterva2.Client], source: Path, name: str) -> None:
    _, client = kinds
    path = f"kinds/{name}.b2nd"
    expected = blosc2.open(str(source / f"{name}.b2nd"))[()]
    for _ in ("cold", "warm"):
        if expected.ndim and expected.size:
            np.testing.assert_array_equal(client.fetch(path, slice(-3, None)), expected[-3:])
        np.testing.assert_array_equal(client.fetch(path), expected)


def test_memory_that_nobody_wrote_reads_as_zeros(kinds: tuple[Stack, caterva2.Client]) -> None:
    _, client = kinds
    assert client.fetch("kinds/u.b2nd").tolist() == [0] * 100


@pytest.mark.parametrize("name", FRAMES)
def test_byte_string_comes_through(
    kinds: tuple[Stack, caterva2.Client], source: Path, name: str
) -> None:
    _, client = kinds
    # What Blosc2 decodes counts: it loses a rest that is no whole item.
    stored = blosc2.open(str(source / f"{name}.b2frame"))
    expected = b"".join(stored.decompress_chunk(n) for n in range(stored.nchunks))
    for _ in ("cold", "warm"):
        assert client.fetch(f"kinds/{name}.b2frame", slice(-30, None)) == expected[-30:]
        assert client.fetch(f"kinds/{name}.b2frame") == expected


def test_names_with_blanks_and_other_letters(
    kinds: tuple[Stack, caterva2.Client], tmp_path: Path
) -> None:
    directory = tmp_path / "data"
    (directory / "ein Ordner").mkdir(parents=True)
    for name in ("ein Ordner/größe #1?.txt", "100%.txt", "a'b\"c.txt"):
        (directory / name).write_text(name)
    client = kinds[0].publish("blanks", directory)
    for name in client.get_list("blanks"):
        assert client.fetch(f"blanks/{name}") == name.encode()
        saved = client.download(f"blanks/{name}", tmp_path / "saved")
        assert saved.read_text() == name


def test_large_slice_comes_in_parts(kinds: tuple[Stack, caterva2.Client], tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    values = np.arange(1_000_000.0).reshape(1000, 1000)
    blosc2.asarray(values, chunks=(100, 300), urlpath=str(directory / "a.b2nd"))
    kinds[0].publish("large", directory)
    array = caterva2.Client(kinds[0].url, limits=ClientLimits(window=1_000_000)).get("large/a.b2nd")
    for key in (np.s_[1:, 1:], np.s_[::-1, 5:900:3], np.s_[3:700]):
        np.testing.assert_array_equal(array[key], values[key])


def test_codec_that_may_load_code_is_refused(
    kinds: tuple[Stack, caterva2.Client], tmp_path: Path
) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    path = directory / "foreign.b2nd"
    codec = {"codec": blosc2.Codec.ZFP_RATE, "codec_meta": 50, "filters": [blosc2.Filter.NOFILTER]}
    blosc2.asarray(
        np.random.default_rng(0).random((64, 64)), chunks=(32, 32), blocks=(16, 16),
        cparams=codec, urlpath=str(path),
    )  # fmt: skip
    data = bytearray(path.read_bytes())
    data[77] = blosc2.Codec.GROK.value
    path.write_bytes(data)
    (directory / "good.txt").write_text("good")
    client = kinds[0].publish("foreign", directory)
    with pytest.raises(caterva2.HttpError, match=r"37 \(GROK\) is not allowed") as refused:
        client.fetch("foreign/foreign.b2nd")
    assert refused.value.status_code == 502
    assert client.fetch("foreign/good.txt") == b"good"
