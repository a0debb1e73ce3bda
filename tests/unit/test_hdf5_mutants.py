"""Damaged HDF5 files: each is listed and read, or refused, within seconds."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from caterva2.errors import CatervaError
from caterva2.isolation.hdf5 import isolated_hdf5
from caterva2.isolation.source import IsolatedSource
from caterva2.limits import DEFAULTS, Limits
from caterva2.limits.constants import MIB
from caterva2.names import DatasetPath
from tests.thoroughness import thorough

MUTANTS = 40 if thorough() else 10
CALL = 2.0
SECONDS = 12.0
"""Two calls that are given up, with a start of the process each."""


def sound(path: Path, libver: str) -> bytes:
    """A small file with datasets of each layout."""
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("plain", data=np.arange(50))
        file.create_dataset("gzip", data=np.arange(500), chunks=(50,), compression="gzip")
        file.create_dataset("g/blosc2", data=np.arange(500), chunks=(50,), **hdf5plugin.Blosc2())
        file.create_dataset("g/grown", data=np.arange(90), chunks=(9,), maxshape=(None,))
        file["g"].attrs["text"] = "something"
        file["soft"] = h5py.SoftLink("/g/grown")
    return path.read_bytes()


def mutants(content: bytes, seed: int) -> Iterator[bytes]:
    """Files that are cut off, or of which some bytes are others."""
    rng = random.Random(seed)
    for share in (0.02, 0.25, 0.5, 0.75, 0.98):
        yield content[: int(len(content) * share)]
    used = [n for n, byte in enumerate(content) if byte]
    for _ in range(MUTANTS):
        made = bytearray(content)
        for _ in range(rng.choice((1, 1, 4, 32))):
            made[rng.choice(used)] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        yield bytes(made)


def read_all(source: IsolatedSource) -> None:
    for path in source.scan():
        with contextlib.suppress(CatervaError):
            info = source.info(path)
            for _ in source.chunks(path, info.etag, range(min(info.nchunks, 20))):
                pass


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_each_damaged_file_is_done_with_and_the_next_is_served(tmp_path: Path, libver: str) -> None:
    content = sound(tmp_path / "sound.h5", libver)
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    limits = replace(DEFAULTS.isolation, call=CALL, isolated_memory=2048 * MIB)
    source = isolated_hdf5(path, Limits(isolation=limits))
    worst = 0.0
    for damaged in mutants(content, seed=len(content)):
        (tmp_path / "new").write_bytes(damaged)
        os.replace(tmp_path / "new", path)
        started = time.monotonic()
        read_all(source)
        worst = max(worst, time.monotonic() - started)
    assert worst < SECONDS * 5  # one dataset after the other
    path.write_bytes(content)
    assert len(source.scan()) == 6  # with the attributes of g
    assert source.info(DatasetPath("g/blosc2.b2nd")).shape == (500,)
    source.close()
