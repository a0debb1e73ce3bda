"""Arrays with Blosc2's plugins ZFP, NDLZ, NDCELL and NDMEAN: converted, or refused by name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

from caterva2.errors import CatervaError, CodecNotAllowed, NotFound, StaleVersion
from caterva2.frames import chunk as chunks
from caterva2.frames import compose
from caterva2.isolation.plugged import IsolatedPlugged
from caterva2.names import DatasetPath
from caterva2.sources import versions
from caterva2.sources.directory import decoding
from caterva2.sources.directory.source import DirectorySource

CODEC, FILTER = blosc2.Codec, blosc2.Filter
PACKINGS: dict[str, dict[str, Any]] = {
    "ZFP_ACC": {"codec": CODEC.ZFP_ACC, "codec_meta": 253, "filters": []},
    "ZFP_PREC": {"codec": CODEC.ZFP_PREC, "codec_meta": 40, "filters": []},
    "ZFP_RATE": {"codec": CODEC.ZFP_RATE, "codec_meta": 50, "filters": []},
    "NDLZ": {"codec": CODEC.NDLZ, "codec_meta": 4, "filters": []},
    "NDCELL": {"codec": CODEC.ZSTD, "filters": [FILTER.NDCELL], "filters_meta": [4]},
    "NDMEAN": {"codec": CODEC.ZSTD, "filters": [FILTER.NDMEAN], "filters_meta": [4]},
}
NUMBERS = {
    "ZFP_ACC": "codec 33", "ZFP_PREC": "codec 34", "ZFP_RATE": "codec 35", "NDLZ": "codec 32",
    "NDCELL": "filter 32", "NDMEAN": "filter 33",
}  # fmt: skip
UDCODEC_AT = 77
"""Place of a plugin's number in the header of a frame."""


def put(directory: Path, name: str, values: Any = None) -> Path:
    """Write an array with a plugin, in several chunks that whole blocks do not fill."""
    if values is None:
        values = np.linspace(0, 1, 30 * 20).reshape(30, 20)
    if name == "NDLZ":
        values = (values * 9).astype("u1")
    cparams = {"splitmode": blosc2.SplitMode.NEVER_SPLIT, **PACKINGS[name]}
    path = directory / f"{name}.b2nd"
    blosc2.asarray(
        values, chunks=(20, 20), blocks=(8, 8), urlpath=str(path), mode="w", cparams=cparams
    )
    return path


@pytest.fixture
def source(tmp_path: Path) -> Iterator[DirectorySource]:
    made = DirectorySource(tmp_path, plugged=IsolatedPlugged(tmp_path))
    yield made
    made.close()


def read(source: DirectorySource, path: str) -> Any:
    info = source.info(DatasetPath(path))
    shape = chunks.ChunkShape.of("array", info.typesize, info.blocksize)
    found = []
    for run in source.chunks(info.path, info.etag, range(info.nchunks)):
        at = 0
        for size in run.sizes:
            found.append(run.payload[at : at + size])
            chunks.check(found[-1], shape, info.chunksize)
            at += size
    frame = compose.frame(compose.template(info), found)
    return blosc2.ndarray_from_cframe(bytes(frame))[()]


@pytest.mark.parametrize("name", PACKINGS)
def test_array_is_served_with_what_its_plugin_decodes(
    tmp_path: Path, source: DirectorySource, name: str
) -> None:
    path = put(tmp_path, name)
    info = source.info(DatasetPath(path.name))
    assert (info.chunks, info.blocks) == ((20, 20), (8, 8))
    chunks.check_cparams(info.cparams)
    np.testing.assert_array_equal(read(source, path.name), blosc2.open(str(path))[:])


def test_blocks_of_a_converted_chunk_are_those_of_the_chunk(
    tmp_path: Path, source: DirectorySource
) -> None:
    info = source.info(DatasetPath(put(tmp_path, "ZFP_RATE").name))
    whole = next(source.chunks(info.path, info.etag, [1])).payload
    found = source.blocks(info.path, info.etag, 1, [0, 4])
    assert found.ids == (0, 4) or found.payload == whole
    with pytest.raises(NotFound):
        source.blocks(info.path, info.etag, 2, [0])


@pytest.mark.parametrize("name", PACKINGS)
def test_without_a_process_for_plugins_the_refusal_names_them(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    source = DirectorySource(tmp_path)
    with pytest.raises(CodecNotAllowed, match=rf"{NUMBERS[name]} \({name}\) is not allowed"):
        source.info(DatasetPath(f"{name}.b2nd"))
    source.close()


@pytest.mark.parametrize(
    ("number", "name"), [(37, r"37 \(GROK\)"), (36, r"36 \(OPENHTJ2K\)"), (200, "200")]
)
def test_plugins_that_are_packages_of_their_own_are_refused_by_name(
    tmp_path: Path, source: DirectorySource, number: int, name: str
) -> None:
    path = put(tmp_path, "ZFP_ACC")
    data = bytearray(path.read_bytes())
    assert data[UDCODEC_AT] == CODEC.ZFP_ACC.value
    data[UDCODEC_AT] = number
    path.write_bytes(data)
    with pytest.raises(CodecNotAllowed, match=f"codec {name} is not allowed"):
        source.info(DatasetPath(path.name))


def test_another_version_is_not_mixed_in(tmp_path: Path, source: DirectorySource) -> None:
    path = put(tmp_path, "ZFP_RATE")
    info = source.info(DatasetPath(path.name))
    assert len(next(source.chunks(info.path, info.etag, [0])).payload) > 0
    put(tmp_path, "ZFP_RATE", np.zeros((30, 20)))
    with pytest.raises(StaleVersion):
        next(source.chunks(info.path, info.etag, [1]))
    assert not read(source, path.name).any()


def test_an_array_is_opened_once_for_all_its_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = put(tmp_path, "ZFP_RATE"), list[Any]()
    array = decoding.for_isolation(path, print, converted_bytes=0)
    open_one, before = blosc2.open, len(os.listdir("/proc/self/fd"))

    def counted(*given: Any, **named: Any) -> Any:
        opened.append(given)
        return open_one(*given, **named)

    monkeypatch.setattr(blosc2, "open", counted)
    for count, values in enumerate((None, np.zeros((30, 20))), 1):
        path.unlink()
        put(tmp_path, "ZFP_RATE", values)
        with path.open("rb") as file:
            version = versions.settled(file.fileno()).etag
        read = [list(array.chunks(decoding.ARRAY, version, [0, 1])) for _ in range(2)]
        assert read[0] == read[1]
        assert len(opened) == count
    array.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_damaged_array_leaves_the_others_readable(tmp_path: Path, source: DirectorySource) -> None:
    damaged, good = put(tmp_path, "ZFP_PREC"), put(tmp_path, "NDLZ")
    data = bytearray(damaged.read_bytes())
    data[400:2000] = np.random.default_rng(0).bytes(1600)
    damaged.write_bytes(data)
    with contextlib.suppress(CatervaError):  # ZFP decodes anything; other damage is an error
        read(source, damaged.name)
    np.testing.assert_array_equal(read(source, good.name), blosc2.open(str(good))[:])
