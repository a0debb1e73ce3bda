"""Leaves of trees, and sparse frames, with Blosc2's plugins: converted in another process"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import b2trees
import blosc2
import numpy as np
import pytest
from sourcereads import values_of

from caterva2.cli.cat2pub import open_source
from caterva2.errors import NotFound, SourceCorrupt, StaleVersion
from caterva2.names import DatasetPath
from tests.thoroughness import some
from tests.unit.test_plugin_codecs import PACKINGS

GOOD = np.arange(50)


def plugged(name: str, seed: float = 1.0) -> Any:
    values = np.linspace(0, seed, 30 * 20).reshape(30, 20)
    if name == "NDLZ":
        values = (values * 9).astype("u1")
    cparams = {"splitmode": blosc2.SplitMode.NEVER_SPLIT, **PACKINGS[name]}
    return blosc2.asarray(values, chunks=(20, 20), blocks=(8, 8), cparams=cparams)


def tree(path: Path, leaves: dict[str, Any]) -> Path:
    kind: Callable[..., Any] = blosc2.EmbedStore if path.suffix == ".b2e" else blosc2.TreeStore
    more = {} if path.suffix == ".b2e" else {"threshold": 0}
    with kind(str(path), mode="w", **more) as store:
        for name, leaf in leaves.items():
            store[f"/{name}"] = leaf
        store["/good"] = blosc2.asarray(GOOD)
    return path


@pytest.mark.parametrize("suffix", ["b2z", "b2d", "b2e"])
def test_leaves_have_the_values_that_their_plugins_decode(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    path = tree(tmp_path / f"r/t.{suffix}", {f"g/{name}": plugged(name) for name in PACKINGS})
    stored = blosc2.open(str(path), mode="r")
    for where, prefix in ((path.parent, f"{path.name}/"), (path, "")):
        source = open_source(where, tmp_path / "state")
        try:
            source.scan()
            np.testing.assert_array_equal(values_of(source, f"{prefix}good")[:], GOOD)
            for name in PACKINGS:
                found = values_of(source, f"{prefix}g/{name}")
                np.testing.assert_array_equal(found[:], stored[f"/g/{name}"][:])
                info = source.info(DatasetPath(f"{prefix}g/{name}.b2nd"))
                assert source.blocks(info.path, info.etag, 1, [0]).payload
                with pytest.raises(NotFound):
                    list(source.chunks(info.path, info.etag, [2]))
        finally:
            source.close()


def test_another_version_is_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    path = tree(tmp_path / "r/t.b2z", {"x": plugged("ZFP_RATE")})
    source = open_source(path.parent, tmp_path / "state")
    try:
        source.scan()
        old = source.info(DatasetPath("t.b2z/x.b2nd"))
        tree(tmp_path / "next.b2z", {"x": plugged("ZFP_RATE", 2)}).rename(path)
        with pytest.raises((StaleVersion, NotFound)):
            list(source.chunks(old.path, old.etag, [0]))
        source.scan()
        assert values_of(source, "t.b2z/x")[-1, -1] == pytest.approx(2)
    finally:
        source.close()


def test_a_damaged_chunk_is_refused_and_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    path = tree(tmp_path / "r/t.b2d", {"x": plugged("ZFP_ACC"), "y": plugged("ZFP_ACC")})
    leaf = path / "x.b2nd"
    chunk = blosc2.open(str(leaf), mode="r")
    raw = chunk.schunk.get_chunk(0)
    data = leaf.read_bytes()
    at = data.index(raw)
    leaf.write_bytes(data[: at + 12] + b"\xff\xff\xff\x7f" + data[at + 16 :])
    source = open_source(path.parent, tmp_path / "state")
    try:
        source.scan()
        info = source.info(DatasetPath("t.b2d/x.b2nd"))
        with pytest.raises(SourceCorrupt, match="chunk 0 claims"):
            list(source.chunks(info.path, info.etag, [0]))
        assert list(source.chunks(info.path, info.etag, [1]))
        assert values_of(source, "t.b2d/y").shape == (30, 20)
    finally:
        source.close()


def test_without_a_process_for_plugins_they_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree(tmp_path / "t.b2z", {"x": plugged("NDLZ")})
    assert b2trees.names(b2trees.served(tmp_path)) == {"t.b2z", "t.b2z/good.b2nd"}
    assert "t.b2z/x.b2nd is left out: codec 32 (NDLZ) is not allowed" in caplog.text


@pytest.mark.parametrize("name", some(sorted(PACKINGS), 2))
def test_sparse_frames_have_the_values_that_their_plugins_decode(name: str, tmp_path: Path) -> None:
    array = plugged(name)
    (tmp_path / "r/d").mkdir(parents=True)
    path = tmp_path / "r/d/x.b2nd"
    array.copy(urlpath=str(path), contiguous=False, cparams=array.cparams)
    (tmp_path / "r/link.b2nd").symlink_to("d/x.b2nd")
    stored = blosc2.open(str(path), mode="r")
    assert stored.schunk.cparams.codec == array.cparams.codec
    for where, names in ((tmp_path / "r", ("d/x", "link")), (path, ("x",))):
        source = open_source(where, tmp_path / "state")
        try:
            source.scan()
            for each in names:
                np.testing.assert_array_equal(values_of(source, each)[:], stored[:])
                info = source.info(DatasetPath(f"{each}.b2nd"))
                assert source.blocks(info.path, info.etag, 1, [0]).payload
        finally:
            source.close()


def test_a_sparse_frame_that_changes_is_not_mixed_with_its_former_version(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    path, source = tmp_path / "r/x.b2nd", open_source(tmp_path / "r", tmp_path / "state")
    try:
        for seed in (1, 2, 3):
            array = plugged("ZFP_RATE", seed)
            array.copy(urlpath=str(path), contiguous=False, cparams=array.cparams, mode="w")
            source.scan()
            old = source.info(DatasetPath("x.b2nd"))
            if seed < 3:  # else a chunk that was converted is still that of its version
                assert values_of(source, "x")[-1, -1] == pytest.approx(seed)
        (path / "00000000.chunk").write_bytes((path / "00000001.chunk").read_bytes())
        with pytest.raises(StaleVersion):
            list(source.chunks(old.path, old.etag, [0]))
    finally:
        source.close()
