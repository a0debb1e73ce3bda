"""Images: colour maps, numbers as colours, and PNG files that decoders read."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from caterva2.arrays import images

RNG = np.random.default_rng(2)


def decoded(png: bytes) -> tuple[dict[str, bytes], npt.NDArray[Any]]:
    """The chunks of a PNG file, each with the right checksum, and its pixels."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", png, at + 8 + size) == (zlib.crc32(name + data),)
        chunks[name.decode()] = data
        at += 12 + size
    width, height, depth = struct.unpack_from(">IIB", chunks["IHDR"])
    assert depth == 8
    rows = np.frombuffer(zlib.decompress(chunks["IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()  # no filter
    return chunks, rows[:, 1:].reshape(height, width, -1)


@pytest.mark.parametrize("name", images.MAPS)
def test_a_map_has_distinct_colours_and_its_reverse(name: str) -> None:
    table = images.table(name)
    assert table.shape == (images.LEVELS, 3) and table.dtype == np.uint8
    assert len(np.unique(table, axis=0)) > 200
    twin = name.removesuffix("_r") if name.endswith("_r") else f"{name}_r"
    assert (images.table(twin) == table[::-1]).all()


@pytest.mark.parametrize("name", ["gray", "viridis", "plasma", "inferno", "magma"])
def test_a_sequential_map_becomes_lighter_throughout(name: str) -> None:
    light = images.table(name) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > -0.5).all() and light[-1] - light[0] > 150


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8", "u8"])
def test_numbers_are_spread_over_the_colours(dtype: str) -> None:
    values = np.linspace(0, 100, 101).astype(dtype)
    found = images.indices(values, 20, 80, log=False)
    assert (found[:21] == 0).all() and (found[80:] == images.LEVELS - 1).all()
    assert found[50] == images.LEVELS // 2 and (np.diff(found.astype(int)) >= 0).all()


def test_what_is_no_number_is_transparent_and_infinities_are_at_the_ends() -> None:
    values = np.array([[np.nan, -np.inf, np.inf, 1.0]])
    for log in (False, True):
        found = images.indices(values, 0.5, 2.0, log=log)
        assert found.tolist()[0][:3] == [images.LEVELS, 0, images.LEVELS - 1]
    chunks, pixels = decoded(images.png_of_indices(found, images.table("viridis")))
    assert pixels[..., 0].tolist() == found.tolist()
    assert chunks["tRNS"][images.LEVELS] == 0 and set(chunks["tRNS"][: images.LEVELS]) == {255}
    assert len(chunks["PLTE"]) == 3 * 256


def test_a_logarithmic_scale_is_even_in_powers_and_lowest_below_zero() -> None:
    found = images.indices(np.array([-5.0, 0.0, 1.0, 10.0, 100.0]), 1, 100, log=True)
    assert found.tolist() == [0, 0, 0, 127, 254]


@pytest.mark.parametrize("lo, hi", [(0.0, 0.0), (-1.7e308, 1.7e308), (5e-324, 1e-323)])
def test_bounds_of_any_size_draw_something(lo: float, hi: float) -> None:
    found = images.indices(np.array([lo, hi, 1e6, -1e6]), lo, hi, log=False)
    assert found.max() <= images.LEVELS - 1
    if lo == hi:
        assert found.tolist() == [0, 0, 254, 0]


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_are_stored_as_they_are(channels: int) -> None:
    pixels = RNG.integers(0, 256, (7, 11, channels), np.uint8)
    assert (decoded(images.png_of_colours(pixels))[1] == pixels).all()


def test_bounds_are_those_of_the_values_unless_they_are_given() -> None:
    values = np.array([np.nan, -3.0, 0.0, 2.0, np.inf])
    assert images.bounds(values, None, None, log=False) == (-3, 2)
    assert images.bounds(values, 1.0, None, log=False) == (1, 2)
    assert images.bounds(values, -3.0, 2.0, log=True) == (2, 2)
    assert images.bounds(np.array([np.nan]), None, None, log=True) == (1, 1)
