"""Chunks as Blosc2 stores them, of all codecs, filters and splits, and of several kinds of data"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import blosc2
import numpy as np
from hypothesis import strategies as st

CODECS = {
    "blosclz": blosc2.Codec.BLOSCLZ, "lz4": blosc2.Codec.LZ4, "lz4hc": blosc2.Codec.LZ4HC,
    "zlib": blosc2.Codec.ZLIB, "zstd": blosc2.Codec.ZSTD,
}  # fmt: skip
SPLITS = {
    "always": blosc2.SplitMode.ALWAYS_SPLIT, "never": blosc2.SplitMode.NEVER_SPLIT,
    "auto": blosc2.SplitMode.AUTO_SPLIT, "forward": blosc2.SplitMode.FORWARD_COMPAT_SPLIT,
}  # fmt: skip
FILTERS = [(), (1,), (2,), (3, 1), (4, 1), (4, 2), (1, 35), (1, 2)]
KINDS = ["ones", "ramp", "noise", "zeros", "constant", "half", "nans", "uninit"]
_MEMCPYED, _USE_DICT = 0x02, 0x01
"""Bits of the bytes 2 and 31 of a chunk."""
DTYPES = ["<f8", "<f4", ">f4", "<f2", "<i2", "|u1", "<c16", "|S3", "|S20", "<U2", "|V40", "|S255"]


@dataclass(frozen=True)
class Case:
    kind: str
    dtype: str
    block: int
    codec: str = "lz4"
    filters: tuple[int, ...] = (1,)
    meta: int = 0
    clevel: int = 5
    splits: str = "auto"
    dictionary: bool = False


@st.composite
def cases(draw: st.DrawFn) -> Case:
    dtype = draw(st.sampled_from(DTYPES))
    filters = draw(st.sampled_from(FILTERS))
    if dtype not in ("<f8", "<f4"):  # others have no bits to cut off
        filters = tuple(code for code in filters if code != 4)
    codec = draw(st.sampled_from(list(CODECS)))
    block = draw(st.one_of(st.sampled_from([8, 40, 127, 128, 1500, 1504]), st.integers(1, 1600)))
    return Case(
        draw(st.sampled_from(KINDS)), dtype, block, codec, filters,
        draw(st.sampled_from([0, 0, 0, np.dtype(dtype).itemsize % 128, 2])),
        draw(st.integers(0, 9)), draw(st.sampled_from(list(SPLITS))),
        codec in ("lz4", "zstd") and draw(st.integers(0, 9)) == 0,
    )  # fmt: skip


def values(case: Case, count: int) -> Any:
    noise = np.random.default_rng(1).integers(1, 100, count)
    half = np.where(np.arange(count) < count // 2, 3, noise)
    numbers = {
        "ones": np.ones(count), "ramp": np.arange(count) / 7 + 1, "noise": noise,
        "zeros": np.zeros(count), "constant": np.full(count, 7), "half": half,
    }[case.kind]  # fmt: skip
    dtype = np.dtype(case.dtype)
    if dtype.kind == "V":
        return np.ascontiguousarray(numbers.astype("S40")).view(dtype)
    return (numbers.astype(int) if dtype.kind in "SUiu" else numbers).astype(dtype)


def made(case: Case) -> list[bytes]:
    """Return the chunks of an array; without a dictionary if Blosc2 can't decode its own with one.

    With LZ4 it says of a chunk whose values are stored as they are that it has a dictionary.
    """
    count, dtype = 4 * case.block + 1, np.dtype(case.dtype)
    grid = {"chunks": (3 * case.block,), "blocks": (case.block,)}
    filters = [blosc2.Filter(code) for code in case.filters] or [blosc2.Filter.NOFILTER]
    meta = [10 if code == 4 else case.meta if code in (1, 2) else 0 for code in case.filters] or [0]
    cparams = blosc2.CParams(
        codec=CODECS[case.codec], clevel=case.clevel, filters=filters, filters_meta=meta,
        splitmode=SPLITS[case.splits], use_dict=case.dictionary,
    )  # fmt: skip
    if case.kind == "nans" and case.dtype in ("<f8", "<f4"):
        array = blosc2.nans((count,), dtype, cparams=cparams, **grid)
    elif case.kind == "constant" and dtype.kind in "fiuc":
        array = blosc2.full((count,), 7, dtype, cparams=cparams, **grid)
    elif case.kind in ("uninit", "nans", "zeros"):
        array = blosc2.zeros((count,), dtype, cparams=cparams, **grid)
    else:
        array = blosc2.asarray(values(case, count), cparams=cparams, **grid)
    chunks = [array.schunk.get_chunk(n) for n in range(array.schunk.nchunks)]
    if any(chunk[2] & _MEMCPYED and chunk[31] & _USE_DICT for chunk in chunks):
        return made(replace(case, dictionary=False))
    return chunks
