"""A Zarr store as a root, through all services: what zarr-python reads is what a client gets"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec

from tests.conftest import Stack, eventually

VALUES = np.arange(300 * 400, dtype="f4").reshape(300, 400)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    place = tmp_path / "store.zarr"
    group = zarr.create_group(place)
    blosc = BloscCodec(cname="lz4")
    made = group.create_array("g/a", data=VALUES, chunks=(100, 100), compressors=blosc)
    made.attrs["units"] = "K"
    group.create_array("zstd", data=VALUES, chunks=(100, 100))
    return place


def test_values_attributes_and_changes_reach_the_client(stack: Stack, store: Path) -> None:
    stack.configure("[limits.publisher]\npoll = 0.1\n")
    client = stack.start(foo=store)
    assert client.get_list("foo") == ["g/a.b2nd", "zstd.b2nd"]
    for name in ("g/a", "zstd"):
        found = client.get(f"foo/{name}.b2nd")
        np.testing.assert_array_equal(found[:], VALUES)
        np.testing.assert_array_equal(found[150:160, 95:105], VALUES[150:160, 95:105])
    assert client.get("foo/g/a.b2nd").vlmeta["units"] == "K"
    zarr.open_group(store)["g/a"][0, 0] = -1  # type: ignore[index]
    assert eventually(lambda: client.fetch("foo/g/a.b2nd", (0, 0)) == -1)
    stack.stop("pub-foo")
    assert "13 chunks were passed on, 12 converted" in stack.log("pub-foo")
