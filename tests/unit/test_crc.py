"""CRC-32 is zlib's, whatever computes it."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from caterva2.frames.raw import crc32

DATA = np.random.default_rng(0).bytes(70_000)


@pytest.mark.parametrize(
    "data", [b"", b"1", DATA, bytearray(DATA), memoryview(DATA)[3:-5], memoryview(DATA)[:0]]
)
def test_value_is_zlibs(data: bytes | bytearray | memoryview) -> None:
    assert crc32(data) == zlib.crc32(data)
    assert crc32(data, 12345) == zlib.crc32(data, 12345)
