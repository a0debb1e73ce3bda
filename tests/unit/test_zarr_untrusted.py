"""Zarr stores that are not what they should be: a clear line, and the others go on"""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import logging
import lzma
import os
import shutil
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from sourcereads import path_of, values_of
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from caterva2.errors import CatervaError, SourceCorrupt, StartError
from caterva2.stores.opening import open_zarr
from caterva2.stores.zarr.source import ZarrSource
from tests.thoroughness import some

VALUES = np.arange(1000.0)
GIVEN: dict[str, Any] = {"data": VALUES, "chunks": (250,)}
MIB = 2**20


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of version 3 and one of version 2 with an array that is to be broken, and others."""
    place = tmp_path_factory.mktemp("whole") / "store.zarr"
    for version in (3, 2):
        group = zarr.create_group(place / f"v{version}", zarr_format=version)
        group.create_array("bad", **GIVEN)
        group.create_array("good", **GIVEN)
    zarr.create_group(place)
    return place


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """A copy of it for one test: zarr-python takes far longer."""
    return Path(shutil.copytree(whole, tmp_path / "store.zarr"))


def edited(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def check_others(source: ZarrSource) -> None:
    for version in (2, 3):
        np.testing.assert_array_equal(values_of(source, f"v{version}/good"), VALUES)


CODECS3 = [{"name": "bytes", "configuration": {"endian": "little"}}]
BAD3: dict[str, Any] = {
    "a huge shape": {"shape": [2**62]},
    "a shape below 0": {"shape": [-1]},
    "too many chunks": {"shape": [2**40]},
    "too many dimensions": {"shape": [1] * 40},
    "chunks of nothing": {
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0]}}
    },
    "chunks of another rank": {
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}}
    },
    "another grid": {"chunk_grid": {"name": "rectilinear", "configuration": {}}},
    "chunks that are too large": {
        "shape": [2**31],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**31 - 1]}},
    },
    "an unknown type": {"data_type": "decimal"},
    "strings of variable length": {"data_type": "string", "fill_value": ""},
    "an item of gigabytes": {
        "data_type": {"name": "raw_bytes", "configuration": {"length_bytes": 10**9}}
    },
    "a fill value of another type": {"fill_value": "zero"},
    "an unknown codec": {"codecs": [*CODECS3, {"name": "magic"}]},
    "a type with a long name": {"data_type": "x" * 101},
    "a codec with a long name": {"codecs": [*CODECS3, "x" * 101]},
    "pickles": {"codecs": [*CODECS3, {"name": "numcodecs.pickle"}]},
    "no codec": {"codecs": []},
    "codecs that are numbers": {"codecs": [1]},
    "shards of other chunks": {
        "codecs": [{
            "name": "sharding_indexed",
            "configuration": {"chunk_shape": [7], "codecs": CODECS3, "index_codecs": CODECS3},
        }]
    },
    "another encoding of keys": {"chunk_key_encoding": {"name": "base64"}},
    "a transformer": {"storage_transformers": [{"name": "x"}]},
}  # fmt: skip
BAD2: dict[str, Any] = {
    "objects": {"dtype": "|O"},
    "a type that runs": {"dtype": "__import__('os')"},
    "fields that are none": {"dtype": [["a"]]},
    "fields in fields": {"dtype": [["a", [["b", "O8"]]]]},
    "pickles": {"filters": [{"id": "pickle"}]},
    "another codec": {"compressor": {"id": "json2"}},
    "a filter without a type": {"filters": [{"id": "delta", "dtype": "|O"}]},
    "a filter of nothing": {"filters": [{}]},
    "a shape of text": {"shape": ["1000"]},
    "another order": {"order": "K"},
}


@pytest.mark.parametrize("how", [*BAD3, *BAD2])
def test_metadata_that_make_no_sense_leave_out_their_array_only(
    how: str, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if how in BAD3:
        edited(place / "v3/bad/zarr.json", **BAD3[how])
    if how in BAD2:
        edited(place / "v2/bad/.zarray", **BAD2[how])
    versions = "v3" * (how in BAD3) + "v2" * (how in BAD2)
    source = open_zarr(place)
    with caplog.at_level(logging.WARNING):
        found = source.scan()
    lines = [record.message for record in caplog.records]
    assert len(lines) == (how in BAD3) + (how in BAD2), lines
    assert all("/bad is left out: it" in line and len(line) < 400 for line in lines)
    assert not [path for path in found if path.endswith("bad.b2nd") and path[:2] in versions]
    check_others(source)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a":' * 100_000, b"[" * 100_000, b"{}"]
)
def test_metadata_that_are_no_json_leave_out_their_array_only(
    text: bytes, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "v3/bad/zarr.json").write_bytes(text)
    (place / "v2/bad/.zarray").write_bytes(text)
    source = open_zarr(place)
    with caplog.at_level(logging.WARNING):
        assert list(source.scan()) == ["v2/good.b2nd", "v3/good.b2nd"]
    assert len(caplog.records) == 2
    check_others(source)


@pytest.mark.parametrize("text", [b"{", b'{"a":' * 100_000, b"[1]"])
def test_attributes_that_cannot_be_read_are_left_out(
    text: bytes, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "v2/bad/.zattrs").write_bytes(text)
    source = open_zarr(place)
    with caplog.at_level(logging.WARNING):
        assert source.info(path_of("v2/bad")).attrs == {}
    assert "v2/bad/.zattrs is left out" in caplog.text


def test_a_million_attributes_are_left_out(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    many = "{" + ",".join(f'"attribute{n}":{n}' for n in range(10**6)) + "}"
    (place / "v2/bad/.zattrs").write_text(many)
    source = open_zarr(place)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(values_of(source, "v2/bad"), VALUES)
    assert "v2/bad/.zattrs is left out" in caplog.text


def replaced_chunk(place: Path, content: bytes) -> ZarrSource:
    """A source whose second chunk of ``v3/bad`` has some content."""
    (place / "v3/bad/c/1").write_bytes(content)
    source = open_zarr(place)
    source.scan()
    return source


def check_chunk_is_damaged(source: ZarrSource, name: str = "v3/bad", others: int = 3) -> None:
    etag = source.info(path_of(name)).etag
    with pytest.raises(SourceCorrupt):
        list(source.chunks(path_of(name), etag, [1]))
    assert len(list(source.chunks(path_of(name), etag, [0, 2, 3]))) == 1
    check_others(source)


@pytest.mark.parametrize(
    ("compressor", "cut"),
    some([*itertools.product([ZstdCodec(), GzipCodec(), BloscCodec(), None], [0, 1, 10, -1])], 3),
)
def test_a_chunk_that_is_cut_off_is_damaged(compressor: Any, cut: int, place: Path) -> None:
    given = GIVEN | {"compressors": compressor, "overwrite": True}
    zarr.open_group(place / "v3").create_array("bad", **given)
    whole = (place / "v3/bad/c/1").read_bytes()
    check_chunk_is_damaged(replaced_chunk(place, whole[:cut]))


BOMBS: dict[str, tuple[dict[str, Any] | None, Callable[[], bytes]]] = {
    "gzip": ({"id": "gzip"}, lambda: gzip.compress(bytes(16 * MIB), 1)),
    "bz2": ({"id": "bz2"}, lambda: bz2.compress(bytes(16 * MIB), 1)),
    "lzma": ({"id": "lzma"}, lambda: lzma.compress(bytes(16 * MIB), preset=0)),
    "zstd": ({"id": "zstd"}, lambda: bytes(numcodecs.Zstd().encode(bytes(16 * MIB)))),
    "zstd that lies": (
        {"id": "zstd"},
        lambda: b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**50) + b"\x01\x00\x00",
    ),
    "lz4": ({"id": "lz4"}, lambda: bytes(numcodecs.LZ4().encode(bytes(16 * MIB)))),
    "lz4 that lies": ({"id": "lz4"}, lambda: struct.pack("<i", 2**31 - 1) + bytes(20)),
    "blosc": ({"id": "blosc"}, lambda: bytes(numcodecs.Blosc().encode(bytes(16 * MIB)))),
    "nothing": (None, lambda: bytes(16 * MIB)),
}


@pytest.mark.parametrize("how", BOMBS)
def test_a_chunk_that_would_be_far_larger_is_refused_before_it_is(how: str, place: Path) -> None:
    compressor, content = BOMBS[how]
    edited(place / "v2/bad/.zarray", compressor=compressor)
    (place / "v2/bad/1").write_bytes(content())
    source = open_zarr(place)
    etag = source.info(path_of("v2/bad")).etag
    tracemalloc.start()
    try:
        with pytest.raises(SourceCorrupt):
            list(source.chunks(path_of("v2/bad"), etag, [1]))
        assert tracemalloc.get_traced_memory()[1] < 5 * MIB
    finally:
        tracemalloc.stop()


def test_a_zstd_frame_without_its_size_is_decoded(place: Path) -> None:
    # A frame of two blocks as they are: 1,000 bytes and the rest, the window of 1 KiB.
    data = VALUES[250:500].tobytes()
    parts = [(data[:1000], 0), (data[1000:], 1)]
    blocks = b"".join(struct.pack("<I", len(p) << 3 | last)[:3] + p for p, last in parts)
    edited(place / "v2/bad/.zarray", compressor={"id": "zstd", "level": 1})
    (place / "v2/bad/1").write_bytes(b"\x28\xb5\x2f\xfd\x00\x08" + blocks)
    source = open_zarr(place)
    etag = source.info(path_of("v2/bad")).etag
    assert len(list(source.chunks(path_of("v2/bad"), etag, [1]))) == 1


@pytest.mark.parametrize(
    ("value", "checked", "at"),
    some([*itertools.product([2**62, 2**64 - 1, 10**6], [True, False], [0, 8])], 3),
)
def test_an_index_of_shards_that_lies_is_damage(
    at: int, value: int, checked: bool, place: Path
) -> None:
    given = GIVEN | {"shards": (1000,), "overwrite": True, "compressors": None}
    zarr.open_group(place / "v3").create_array("bad", **given)
    shard = place / "v3/bad/c/0"
    content = bytearray(shard.read_bytes())
    where = len(content) - 4 - 4 * 16 + 16 + at
    content[where : where + 8] = struct.pack("<Q", value)
    if not checked:
        import google_crc32c

        index = bytes(content[-4 - 4 * 16 : -4])
        content[-4:] = struct.pack("<I", google_crc32c.value(index))
    shard.write_bytes(content)
    source = open_zarr(place)
    etag = source.info(path_of("v3/bad")).etag
    with pytest.raises(SourceCorrupt):
        list(source.chunks(path_of("v3/bad"), etag, [1]))
    check_others(source)


# --- links and devices ---


def test_links_are_not_followed(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "v3/bad/c/0").rename(tmp_path / "secret")
    (place / "v3/bad/c/0").symlink_to(tmp_path / "secret")
    (place / "linked").symlink_to(place / "v2")
    source = open_zarr(place)
    with caplog.at_level(logging.WARNING):
        assert list(source.scan()) == ["v2/bad.b2nd", "v2/good.b2nd", "v3/good.b2nd"]
    assert "v3/bad is left out: it has a link" in caplog.text
    assert "linked is left out: it is a link" in caplog.text


def test_metadata_that_are_a_link_are_not_read(place: Path, tmp_path: Path) -> None:
    (place / "v2/bad/.zarray").rename(tmp_path / "secret")
    (place / "v2/bad/.zarray").symlink_to(tmp_path / "secret")
    assert "v2/bad.b2nd" not in open_zarr(place).scan()


def test_a_pipe_among_the_chunks_holds_nothing_up(place: Path) -> None:
    (place / "v3/bad/c/0").unlink()
    os.mkfifo(place / "v3/bad/c/0")
    assert "v3/bad.b2nd" not in open_zarr(place).scan()


# --- zip files ---


@pytest.fixture
def archive(place: Path, tmp_path: Path) -> Path:
    made = tmp_path / "store.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as writing:
        for file in sorted(place.rglob("*")):
            writing.write(file, file.relative_to(place))
    return made


def test_members_outside_of_the_archive_are_not_there(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as writing:
        for name in ("../up/zarr.json", "/abs/zarr.json", "v3/../../x/.zarray", "a//b/.zarray"):
            writing.writestr(name, b"{}")
    source = open_zarr(archive)
    found = ["v2/bad.b2nd", "v2/good.b2nd", "v3/bad.b2nd", "v3/good.b2nd"]
    assert list(source.scan()) == found
    source.close()


@pytest.mark.parametrize("size", [0, 10, 10**6, 2**31])
def test_a_member_whose_size_is_a_lie_is_damaged(size: int, archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    entry = content.rfind(b"PK\x01\x02", 0, content.rfind(b"v3/bad/c/1"))
    content[entry + 24 : entry + 28] = struct.pack("<I", size)
    archive.write_bytes(content)
    source = open_zarr(archive)
    source.scan()
    etag = source.info(path_of("v3/bad")).etag
    with pytest.raises(SourceCorrupt):
        list(source.chunks(path_of("v3/bad"), etag, [1]))
    check_others(source)
    source.close()


@pytest.mark.parametrize("cut", [1, 50, -1])
def test_a_zip_that_is_cut_off_does_not_start(cut: int, archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(StartError):
        open_zarr(archive)


def test_a_zip_that_is_broken_while_it_is_served_is_damaged_until_it_is_whole(
    archive: Path,
) -> None:
    source = open_zarr(archive)
    before, content = source.scan(), archive.read_bytes()
    archive.write_bytes(content[:1000])
    with pytest.raises(CatervaError):
        source.scan()
    archive.write_bytes(content)
    assert source.scan() == before
    source.close()
