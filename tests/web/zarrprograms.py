"""Programs in other languages that read Zarr: zarrita.js under node, and GDAL"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import weakref
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from tests.conftest import Stack

Region = tuple[slice, slice]
SOURCE = Path(__file__).parent / "zarrita"
INSTALLING = 300  # seconds


class Zarrita:
    """A node that reads with zarrita.js, and keeps the arrays that it has opened.

    It ends with this object, and in any case with the process, whose pipe it reads.
    """

    def __init__(self, directory: Path) -> None:
        _install(directory)
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = ["node", "read.mjs"]
        self._node = subprocess.Popen(command, cwd=directory, text=True, **pipes)
        weakref.finalize(self, _end, self._node)

    def read(self, url: str, region: Region | None = None) -> bytes:
        """Read the values of a region, or of all, in C order; OSError where that fails."""
        ends = None if region is None else [[one.start, one.stop] for one in region]
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        print(json.dumps({"url": url, "region": ends}), file=self._node.stdin, flush=True)
        answer = json.loads(self._node.stdout.readline())
        if "error" in answer:
            raise OSError(answer["error"])
        return base64.b64decode(answer["bytes"])


def _install(directory: Path) -> None:
    shutil.copytree(SOURCE, directory, dirs_exist_ok=True)
    command = "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"
    try:
        subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=INSTALLING)
    except (OSError, subprocess.CalledProcessError) as error:
        missing = f"zarrita.js needs node, npm and its registry: {error}"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)


def _end(node: subprocess.Popen[str]) -> None:
    node.kill()
    node.wait()
    for pipe in (node.stdin, node.stdout):
        assert pipe is not None
        pipe.close()


_nodes: weakref.WeakKeyDictionary[Stack, Zarrita] = weakref.WeakKeyDictionary()


def zarrita(stack: Stack) -> Zarrita:
    """Return the node that reads from a stack."""
    if stack not in _nodes:
        _nodes[stack] = Zarrita(stack.directory / "zarrita")
    return _nodes[stack]


def by_zarrita(stack: Stack, place: str) -> Any:
    name = f"{place.removesuffix('.b2nd')}.b2nd"
    info = stack.client.get_info(name)
    found = zarrita(stack).read(f"{stack.url}/zarr/{place}")
    dtype = np.dtype(info["dtype"]).newbyteorder("=")
    return np.frombuffer(found, dtype).reshape(info["shape"])


def by_gdal(stack: Stack, place: str) -> Any:
    with GdalArray(stack, place) as array:
        return array[:]


class GdalArray:
    """An array of two dimensions that GDAL has opened; GDAL keeps nothing of one for another."""

    def __init__(self, stack: Stack, place: str) -> None:
        import rasterio

        # Without the block cache and looks for files beside it; a server of its own for each test.
        self._settings = rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_CACHEMAX=0)
        with self._settings:
            self._array = rasterio.open(f'ZARR:"/vsicurl/{stack.url}/zarr2/{place}"')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._array.close()

    def __getitem__(self, region: Any) -> Any:
        from rasterio.windows import Window

        window = None
        if isinstance(region, tuple):
            window = Window.from_slices(*region)
        with self._settings:
            return self._array.read(1, window=window)
