"""The data that is read: a walk in steps of noise, of which LZ4 makes about half."""

from __future__ import annotations

import math
import os
from pathlib import Path

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.frames import compose
from caterva2.model import CParams

Floats = npt.NDArray[np.float64]
PACKING = {"codec": blosc2.Codec.LZ4, "clevel": 5}
A_CHUNKS, A_BLOCKS = (256, 512), (64, 64)
A_WIDTH = 8192
B_CHUNK = 4096
SMALL = 1000
"""Items of a small dataset."""


def walk(size: int) -> Floats:
    values: Floats = np.random.default_rng(0).standard_normal(size).round(2).cumsum()
    return values


def a_values(chunks: int) -> Floats:
    """A matrix of so many chunks of 1 MB."""
    rows = max(chunks * A_CHUNKS[1] // A_WIDTH, 1) * A_CHUNKS[0]
    return walk(rows * A_WIDTH).reshape(rows, A_WIDTH)


def b_values(chunks: int) -> Floats:
    """A matrix of so many chunks of 32 KB, each a row."""
    return np.resize(walk(min(chunks, 4096) * B_CHUNK), (chunks, B_CHUNK))


def write_a(directory: Path, chunks: int, copies: int = 0) -> Path:
    """Write ``A.b2nd``, and the same as ``A0.b2nd`` and so on, which nobody has read yet."""
    path = directory / "A.b2nd"
    values = a_values(chunks)
    blosc2.asarray(values, chunks=A_CHUNKS, blocks=A_BLOCKS, cparams=PACKING, urlpath=str(path))
    return _linked(path, copies)


def write_b(directory: Path, chunks: int, copies: int = 0) -> Path:
    """Write ``B.b2nd``, and the same as ``B0.b2nd`` and so on."""
    path = directory / "B.b2nd"
    shape = (1, B_CHUNK)
    blosc2.asarray(b_values(chunks), chunks=shape, blocks=shape, cparams=PACKING, urlpath=str(path))
    return _linked(path, copies)


STACK, STACK_BLOCKS = (120, 512, 512), (1, 128, 128)


def write_stack(directory: Path) -> Path:
    """Write ``S.b2nd``: frames of 1 MB, a chunk of 16 blocks each."""
    path = directory / "S.b2nd"
    frame = walk(math.prod(STACK[1:])).astype("f4").reshape(STACK[1:])
    values = frame + np.arange(STACK[0], dtype="f4")[:, None, None]
    blosc2.asarray(
        values, chunks=(1, *STACK[1:]), blocks=STACK_BLOCKS, cparams=PACKING, urlpath=str(path)
    )
    return path


def _linked(path: Path, copies: int) -> Path:
    for n in range(copies):
        os.link(path, path.with_name(f"{path.stem}{n}{path.suffix}"))
    return path


def write_small(directory: Path, count: int) -> None:
    """Write small datasets, a thousand a directory."""
    made = blosc2.asarray(walk(SMALL), chunks=(SMALL,), blocks=(SMALL,), cparams=PACKING)
    content = made.to_cframe()
    for n in range(count):
        below = directory / f"dir{n // 1000:03}"
        if n % 1000 == 0:
            below.mkdir(parents=True)
        (below / f"ds-{n:06}.b2nd").write_bytes(content)


def write_tiny_chunks(path: Path, count: int) -> None:
    """Write an array of chunks of four numbers; Blosc2 would take minutes for many of them."""
    few = min(count, 1000)
    shape = (4,)
    values = blosc2.asarray(walk(4 * few), chunks=shape, blocks=shape, cparams=PACKING)
    chunks = [values.schunk.get_chunk(n) for n in range(few)] * (count // few)
    packing = CParams(codec=blosc2.Codec.LZ4.value, clevel=5)
    template = compose.array_template((4 * count,), shape, shape, "<f8", packing)
    path.write_bytes(compose.frame(template, chunks))
