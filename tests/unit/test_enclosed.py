"""Chunks in frames of their own: many are found as each of them is, and checked likewise"""

from __future__ import annotations

import itertools

import numpy as np
import samples
from hypothesis import given
from hypothesis import strategies as st

from caterva2.errors import CatervaError
from caterva2.frames import compose
from caterva2.frames.chunk import HEADER, ChunkShape
from caterva2.frames.enclosed import Enclosure, mask_of

CONTENT = samples.array_frame(np.arange(300), chunks=(100,), blocks=(50,))
INFO, CHUNKS = samples.describe(CONTENT), samples.raw_chunks(CONTENT)
PARTS = compose.array_template((100,), (100,), (50,), "<i8", INFO.cparams)
FRAMES = [bytes(compose.frame(PARTS, [chunk])) for chunk in CHUNKS]
LENGTH = len(PARTS.header)
ENCLOSURE = Enclosure(mask_of(FRAMES[0][:LENGTH]), ChunkShape.of("array", 8, 400), 800)


def together(frames: list[bytes]) -> list[bytes]:
    """The chunks that are found in frames which lie side by side."""
    data = memoryview(b"".join(frames))
    sizes = np.array([len(frame) for frame in frames], np.int64)
    found = ENCLOSURE.chunks(data, np.cumsum(sizes) - sizes, sizes)
    places = zip(*(part.tolist() for part in found), strict=True)
    return [bytes(data[at : at + size]) for at, size in places]


def alone(frame: bytes) -> bytes | CatervaError | None:
    try:
        return ENCLOSURE.chunk(frame)
    except CatervaError as error:
        return error


def test_chunks_are_those_that_the_frames_were_made_of() -> None:
    assert together(FRAMES) == [alone(frame) for frame in FRAMES] == CHUNKS
    assert max(map(len, FRAMES)) < ENCLOSURE.max_size


@given(st.integers(0, len(FRAMES) - 1), st.integers(0, LENGTH + HEADER - 1), st.integers(1, 255))
def test_many_end_before_the_first_that_is_not_found_alone(n: int, at: int, change: int) -> None:
    frames = list(FRAMES)
    frames[n] = frames[n][:at] + bytes([frames[n][at] ^ change]) + frames[n][at + 1 :]
    each = [alone(frame) for frame in frames]
    good = list(itertools.takewhile(lambda found: isinstance(found, bytes), each))
    refused = any(isinstance(found, CatervaError) for found in each)
    assert together(frames) == ([] if refused else good)


@given(st.integers(0, 2), st.integers(0, len(FRAMES[0])))
def test_frame_that_is_cut_off_holds_no_chunk(n: int, size: int) -> None:
    frames = list(FRAMES)
    frames[n] = frames[n][:size]
    whole = size >= LENGTH + len(CHUNKS[n])
    assert alone(frames[n]) == (CHUNKS[n] if whole else None)
    assert together(frames) == (CHUNKS if whole else CHUNKS[:n])
