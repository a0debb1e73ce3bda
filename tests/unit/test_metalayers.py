"""Metalayers of frames: those of users are kept, and none that Blosc2's software acts on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import blosc2
import msgpack
import numpy as np
import pytest

from caterva2.errors import BadUpload, SourceCorrupt
from caterva2.frames import attributes, compose, layout, metadata
from caterva2.frames.reader import FrameReader
from caterva2.limits import constants
from caterva2.model import DatasetInfo, Kind
from caterva2.names import DatasetPath, is_reserved_metalayer
from caterva2.rest import stream
from caterva2.special import files

ACTED_ON = [
    "proxy-source", "proxy", "b2o", "LazyArray", "lazyarray", "vlarray", "batcharray", "listarray",
    "b2embed", "b2dict", "b2tree", "b2remote_store", "remote-store", "ctable_varlen_scalar",
    "caterva", "B2ND",
]  # fmt: skip
"""Names that python-blosc2 4.14 looks for in ``meta``, and likely later ones."""
PROXY = {"local_abspath": None, "urlpath": ["http://127.0.0.1:1", "x", None], "caterva2_env": False}
LAZY = msgpack.packb(msgpack.ExtType(43, b"http://127.0.0.1:1/x"))


def frame(path: Path, meta: dict[str, Any], kind: str = "array") -> FrameReader:
    """Write a frame with metalayers of Python values, and read it."""
    if kind == "array":
        values, grid = np.arange(1000), {"chunks": (100,), "blocks": (10,)}
        blosc2.asarray(values, urlpath=str(path), mode="w", meta=meta, **grid)
    else:
        blosc2.SChunk(chunksize=400, data=b"x" * 1000, urlpath=str(path), mode="w", meta=meta)
    return FrameReader(os.open(path, os.O_RDONLY))


def forged(path: Path, layers: dict[str, bytes]) -> FrameReader:
    """Write a frame with metalayers of any bytes, and read it."""
    reader = frame(path, {})
    info = described(reader)
    parts = compose.template(info)
    chunks = [chunk for run in reader.runs(range(reader.nchunks)) for chunk in run.chunks()]
    parts = compose.Template(layout.with_metalayers(parts.header, layers), parts.trailer)
    path.write_bytes(compose.frame(parts, chunks))
    return FrameReader(os.open(path, os.O_RDONLY))


def described(reader: FrameReader, kind: Kind = "array") -> DatasetInfo:
    return reader.info(DatasetPath("a.b2nd"), kind, "etag", 0.0)


def composed(reader: FrameReader, info: DatasetInfo) -> bytes:
    """The frame that a subscriber makes of what it is sent."""
    chunks = [chunk for run in reader.runs(range(reader.nchunks)) for chunk in run.chunks()]
    return bytes(compose.frame(compose.template(info), chunks))


METAS: list[dict[str, Any]] = [
    {"mine": {"a": 1}},
    {"a": [1, 2.5, None, True], "b": "text", "c" * 31: b"bytes"},
    {f"layer{n}": n for n in range(15)},
    {"empty": {}},
]


@pytest.mark.parametrize("kind", ["array", "frame"])
@pytest.mark.parametrize("meta", METAS, ids=lambda meta: str([*meta])[:20])
def test_metalayers_of_users_are_in_the_replica(
    meta: dict[str, Any], kind: Kind, tmp_path: Path
) -> None:
    reader = frame(tmp_path / "a.b2nd", meta, kind)
    info = described(reader, kind)
    opened = blosc2.from_cframe(composed(reader, info))
    own = {"b2nd"} if kind == "array" else set()
    assert {name: opened.meta[name] for name in {*opened.meta} - own} == meta
    again = blosc2.open(str(tmp_path / "a.b2nd"), mode="r")
    assert bytes(opened[:]) == bytes(again[:])
    if kind == "array":  # so that the library may read a stored frame itself
        assert reader.is_as_composed(info)


def test_values_have_their_types(tmp_path: Path) -> None:
    packed = msgpack.packb({"a": 1, "b": [1.5, None]})
    complex_number = metadata.encode(1 + 2j)
    info = described(forged(tmp_path / "a.b2nd", {"map": packed, "z": complex_number}))
    forms = attributes.metalayers(info)
    assert forms["map"]["value"] == {"a": 1, "b": [1.5, None]}
    assert forms["z"]["dtype"] == "<c16"


@pytest.mark.parametrize("name", ACTED_ON)
def test_names_that_blosc2_acts_on_never_reach_a_replica(name: str, tmp_path: Path) -> None:
    assert is_reserved_metalayer(name)
    kept = metadata.of_users({name: b"\x01", "mine": b"\x02"})
    assert kept == {"mine": b"\x02"}
    info = described(frame(tmp_path / "a.b2nd", {"mine": 2}))
    sent = info.model_dump() | {"metalayers": {name: b"\x01", "mine": b"\x02"}}
    assert DatasetInfo.model_validate(sent).metalayers == {"mine": b"\x02"}


@pytest.mark.parametrize("name", ["b2embed", "listarray", "b2remote_store", "ctable_varlen_scalar"])
def test_a_forged_frame_is_downloaded_as_plain_values(name: str, tmp_path: Path) -> None:
    reader = forged(tmp_path / "a.b2nd", {name: msgpack.packb(PROXY)})
    opened = blosc2.from_cframe(composed(reader, described(reader)))
    assert isinstance(opened, blosc2.NDArray)
    assert [*opened.meta] == ["b2nd"]
    np.testing.assert_array_equal(opened[:], np.arange(1000))


@pytest.mark.parametrize(
    "packed",
    [
        LAZY, msgpack.packb([{"a": msgpack.ExtType(42, b"x")}]), b"\xc1", b"", b"\x91" * 100,
        b"\x01\x02",
    ],
    ids=["extension", "nested", "no msgpack", "empty", "deep", "two values"],
)  # fmt: skip
def test_values_that_are_not_plain_are_left_out_and_refused(packed: bytes, tmp_path: Path) -> None:
    info = described(forged(tmp_path / "a.b2nd", {"bad": packed, "good": b"\x01"}))
    assert info.metalayers == {"good": b"\x01"}
    with pytest.raises(SourceCorrupt, match="metalayer 'bad' is no plain value"):
        attributes.check_description(info.model_copy(update={"metalayers": {"bad": packed}}))


def test_bounds(tmp_path: Path) -> None:
    big = msgpack.packb("x" * constants.METALAYER_BYTES)
    assert [*metadata.of_users({"big": big, "small": b"\x01"})] == ["small"]
    many = {f"n{n}": b"\x01" for n in range(100)}
    assert len(metadata.of_users(many)) == constants.METALAYER_ITEMS
    info = described(frame(tmp_path / "a.b2nd", {}))
    for wrong in ({"big": big}, many, {"": b"\x01"}, {"x" * 32: b"\x01"}):
        with pytest.raises(ValueError, match="metalayers"):
            DatasetInfo.model_validate(info.model_dump() | {"metalayers": wrong})


def test_what_is_left_out_is_logged_once_a_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    big = msgpack.packb("x" * 50_000)
    layers = {"proxy": b"\x01", "a": big, "b": big, "c": b"\xc1", "good": b"\x01"}
    reader = forged(tmp_path / "told.b2nd", layers)
    for etag in ("one", "one", "two"):
        made = reader.info(DatasetPath("told.b2nd"), "array", etag, 0.0)
        assert [*made.metalayers] == ["a", "good"]
    assert [record.message for record in caplog.records] == [
        "told.b2nd is served without its metalayers 'proxy', which has a name that Blosc2 acts on; "
        "'b', which does not fit in 65536 bytes with the others; 'c', which is no plain value"
    ] * 2
    caplog.clear()
    described(forged(tmp_path / "b.b2nd", {f"n{n:02}": b"\x01" for n in range(19)}))
    (line,) = (record.message for record in caplog.records)
    assert "'n17', which comes after 15 others; and 1 more" in line


def test_peers_of_older_versions_send_and_ignore_none(tmp_path: Path) -> None:
    info = described(frame(tmp_path / "a.b2nd", {"mine": 1}))
    old = {name: value for name, value in info.model_dump().items() if name != "metalayers"}
    assert DatasetInfo.model_validate(old).metalayers == {}
    assert DatasetInfo.model_validate(info.model_dump() | {"later": 1}) == info


def test_streams_of_values_do_not_carry_them(tmp_path: Path) -> None:
    info = described(frame(tmp_path / "a.b2nd", {"mine": "secret words"}))
    assert b"secret words" not in stream.begin_chunks(info, 1)


@pytest.mark.parametrize("name", ["b2embed", "listarray", "proxy", "b2o"])
def test_uploads_with_such_names_are_refused_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.b2nd"
    base = frame(path, {"mine": 1})
    files.check(path, DatasetPath("a.b2nd"))
    parts = compose.template(described(base))
    chunks = [chunk for run in base.runs(range(base.nchunks)) for chunk in run.chunks()]
    header = layout.with_metalayers(parts.header, {name: msgpack.packb(PROXY)})
    path.write_bytes(compose.frame(compose.Template(header, parts.trailer), chunks))
    with pytest.raises(BadUpload, match=f"{name}|refers to data elsewhere"):
        files.check(path, DatasetPath("a.b2nd"))
