"""Images of numbers and colours: colour maps, and PNG files in 8 bits.

The maps are lines through a few points of those of matplotlib, which are in the public domain.
"""

from __future__ import annotations

import functools
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.arrays.binning import ELONGATED

Values = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
LEVELS = 255
"""Colours of a map; the index after them stands for NaN."""
_POINTS = {
    "gray": "000000 ffffff",
    "viridis": "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725",
    "plasma": "0d0887 4c02a1 7e03a8 aa2395 cc4778 e66c5c f89540 fdc527 f0f921",
    "inferno": "000004 210c4a 57106e 8a226a bc3754 e45a31 f98e09 f9cb35 fcffa4",
    "magma": "000004 1c1044 4f127b 812581 b5367a e55064 fb8761 fec287 fcfdbf",
    "turbo": "30123b 4662d7 36aaf9 1ae4b6 72fe5e c8ef34 faba39 f66b19 ca2a04 7a0403",
    "coolwarm": "3b4cc0 6788ee 9abbff c9d7f0 dddddd edd1c2 f7a889 e26952 b40426",
}
MAPS = (*_POINTS, *(f"{name}_r" for name in _POINTS))
"""Names of the maps; those in ``_r`` are the reversed ones."""
_MAGIC = b"\x89PNG\r\n\x1a\n"
_PALETTE, _RGB, _RGBA = 3, 2, 6
_LEVEL = 2
"""Of zlib: more takes several times as long, and saves little."""


@functools.cache
def table(name: str) -> Bytes:
    """Return the colours of a map, from that of the lowest number on: red, green, blue."""
    base, _, backwards = name.partition("_")
    points = np.array([list(bytes.fromhex(point)) for point in _POINTS[base].split()], float)
    at = np.linspace(0, len(points) - 1, LEVELS)
    channels = [np.interp(at, np.arange(len(points)), channel) for channel in points.T]
    made: Bytes = np.rint(np.stack(channels, -1)).astype(np.uint8)
    return made[::-1] if backwards else made


def indices(values: Values, lo: float, hi: float, *, log: bool) -> Bytes:
    """Return the number of the colour of each value, `LEVELS` for NaN.

    On a logarithmic scale, numbers that are not positive have the lowest colour.
    """
    with np.errstate(all="ignore"):
        numbers = values.astype(np.float64)
        if log:
            numbers = np.where(np.isnan(numbers), np.nan, np.log(np.maximum(numbers, 0)))
            lo, hi = float(np.log(lo)), float(np.log(hi))
        # Halves, since the distance of two doubles may be no double.
        places = (numbers * 0.5 - lo * 0.5) / (hi * 0.5 - lo * 0.5) * (LEVELS - 1)
        if not hi * 0.5 - lo * 0.5 > 0:
            places = np.where(numbers > lo, LEVELS - 1.0, np.where(np.isnan(numbers), np.nan, 0.0))
        found = np.rint(np.clip(places, 0, LEVELS - 1))
    made: Bytes = np.where(np.isnan(numbers), LEVELS, np.nan_to_num(found)).astype(np.uint8)
    return made


def bounds(values: Values, lo: float | None, hi: float | None, *, log: bool) -> tuple[float, float]:
    """Return bounds for drawing values, in place of those that are None or not positive."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if log:
        finite = finite[finite > 0]
    if not finite.size:
        return (1.0, 1.0) if log else (0.0, 0.0)
    least, most = float(finite.min()), float(finite.max())
    lo = least if lo is None or (log and lo <= 0) else lo
    hi = most if hi is None or (log and hi <= 0) else hi
    return lo, hi


def png_of_values(
    values: Values, lo: float | None, hi: float | None, name: str = "viridis", *, log: bool = False
) -> bytes:
    """Return an image of numbers in the colours of a map; bounds that are None are found."""
    lo, hi = bounds(values, lo, hi, log=log)
    return png_of_indices(widened(indices(values, lo, hi, log=log)), table(name))


def widened(pixels: Bytes) -> Bytes:
    """Return pixels of which those along a short axis are repeated, so that they are seen."""
    for axis, other in ((0, 1), (1, 0)):
        often = pixels.shape[other] // (ELONGATED * pixels.shape[axis])
        if often > 1:
            pixels = np.repeat(pixels, often, axis)
    return pixels


def png_of_indices(places: Bytes, palette: Bytes) -> bytes:
    """Return an image of colours of a palette; the index after the last one is transparent."""
    transparent = bytes([255] * len(palette) + [0])
    return _file(places, _PALETTE, PLTE=palette.tobytes() + b"\0\0\0", tRNS=transparent)


def png_of_colours(pixels: Bytes) -> bytes:
    """Return an image of red, green, blue, and opacity if there are four channels."""
    return _file(pixels, _RGB if pixels.shape[2] == 3 else _RGBA)


def _file(pixels: Bytes, kind: int, **chunks: bytes) -> bytes:
    height, width = pixels.shape[:2]
    rows = np.zeros((height, pixels[:1].size + 1), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)
    parts = [_MAGIC, _chunk("IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    parts += [_chunk(name, data) for name, data in chunks.items()]
    parts += [_chunk("IDAT", zlib.compress(rows.data, _LEVEL)), _chunk("IEND", b"")]
    return b"".join(parts)


def _chunk(name: str, data: Any) -> bytes:
    named: bytes = name.encode() + data
    return struct.pack(">I", len(data)) + named + struct.pack(">I", zlib.crc32(named))
