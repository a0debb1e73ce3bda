"""Results that are computed of whole chunks of operands, in the order in which these are stored"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import blosc2
import numpy as np
import pytest
import samples

from caterva2.arrays import selection
from caterva2.arrays.fields import Values
from caterva2.arrays.selection import IntArray
from caterva2.compute import blockwise, planning, sharing, syntax
from caterva2.compute.evaluation import Evaluator
from caterva2.compute.plans import Plan
from caterva2.compute.reducing import Accumulator
from caterva2.compute.results import ResultCache
from caterva2.errors import SourceCorrupt
from caterva2.frames import packing
from caterva2.reading.dataset import ChunkedDataset, ReadPool
from tests.unit.computing import LIMITS, SMALL, Here, StoredDataset, same

T = TypeVar("T")
GRID: Any = {"chunks": (4, 6), "blocks": (2, 3)}
A = np.random.default_rng(0).normal(size=(10, 15)).round(3)
B = np.random.default_rng(1).integers(-9, 9, (10, 15)).astype("i2")
A[0, :3] = np.nan, np.inf, 0


class Chunked(StoredDataset):
    """An operand in memory whose chunks can be decoded, and that counts them."""

    def __init__(self, values: Values, **grid: Any) -> None:
        super().__init__(values)
        frame = samples.array_frame(values, **(GRID | grid))
        self.info = samples.describe(frame)
        self.chunks = samples.raw_chunks(frame)
        self.decodings: list[int] = []

    async def decoded(self, ids: IntArray, work: Callable[[Values], T]) -> T:
        await asyncio.sleep(0)
        self.decodings += ids.tolist()
        return work(packing.decoded(self.info, [self.chunks[n] for n in ids]))


def planned(text: str, **sources: StoredDataset) -> Plan:
    operands = {name: planning.operand(one.info, name) for name, one in sources.items()}
    return planning.plan(syntax.parse(text), operands)


def operands() -> dict[str, Chunked]:
    return {"a": Chunked(A), "b": Chunked(B)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a * 2 + 1", lambda a, b: a * 2 + 1),
        ("sin(a) + cos(a)**2", lambda a, b: np.sin(a) + np.cos(a) ** 2),
        ("a + b", lambda a, b: a + b),
        ("where(a < b, a, 0)", lambda a, b: np.where(a < b, a, 0)),
        ("b * b // 3", lambda a, b: b * b // 3),
        ("isnan(a)", lambda a, b: np.isnan(a)),
        ("real(a)", lambda a, b: a),
    ],
)
def test_values_are_numpys(text: str, expected: Any) -> None:
    sources = operands()
    node = planned(text, **sources)
    info = blockwise.grid(node, sources)
    assert info is not None
    with np.errstate(all="ignore"):
        wanted = expected(A, B)
    batches = list(blockwise.batches(info, np.arange(info.nchunks)))
    assert np.concatenate([ids for _, ids in batches]).tolist() == list(range(9))
    for whole, ids in batches:
        regions = [blockwise.region_of(info, n) for n in ids]
        assert whole == all(tuple(map(len, region)) == info.chunks for region in regions)
        if not whole:
            assert len(ids) == 1
            continue
        found = asyncio.run(blockwise.over(node, sources, ids, lambda values: values))
        for row, region in zip(np.concatenate(found), regions, strict=True):
            values = np.ascontiguousarray(wanted[np.ix_(*region)], node.dtype)
            packed = packing.pack(values, info.blocks, info.cparams)
            assert row.astype(node.dtype).tobytes() == blosc2.decompress2(packed)


@pytest.mark.parametrize(
    "text",
    ["sum(a)", "mean(a + b)", "std(b)", "min(a)", "max(b)", "any(b > 8)", "all(b < 9)", "prod(b)",
     "count_nonzero(b)", "var(b, ddof=1)", "sum(b)", "sum(b, keepdims=True)"],
)  # fmt: skip
@pytest.mark.parametrize("grid", [{}, {"chunks": (5, 5), "blocks": (5, 1)}], ids=str)
def test_all_items_are_reduced_chunk_by_chunk(text: str, grid: Any) -> None:
    values = {"a": np.nan_to_num(A, posinf=3), "b": B}
    sources = {name: Chunked(one, **grid) for name, one in values.items()}
    node = planned(text, **sources)
    found = [
        asyncio.run(Evaluator(Here(), ResultCache(), limits).values(
            node, sources, selection.whole(node.shape)
        ))
        for limits in (LIMITS, SMALL)
    ]  # fmt: skip
    assert any(one.decodings for one in sources.values())
    plain = {name: StoredDataset(one) for name, one in values.items()}
    other = planned(text, **plain)
    evaluator = Evaluator(Here(), ResultCache(), LIMITS)
    expected = asyncio.run(evaluator.values(other, plain, selection.whole(other.shape)))
    for one in found:
        same(one, expected)


def test_part_of_the_items_is_reduced_as_a_part() -> None:
    sources = operands()
    node = planned("sum(b)", **sources)
    region = range(10), range(6)
    part = asyncio.run(
        sharing.perform(sharing.Task(node, region, (), True, LIMITS), sources, Here())
    )
    assert isinstance(part, Accumulator)
    assert part.finish() == B[:, :6].sum()


@pytest.mark.parametrize("text", ["argmax(a)", "sum(a, axis=0)", "sum(a[1:])", "sum(a + sum(b))"])
def test_reductions_that_depend_on_places_are_left(text: str) -> None:
    sources = operands()
    node = planned(text, **sources)
    evaluator = Evaluator(Here(), ResultCache(), LIMITS)
    asyncio.run(evaluator.values(node, sources, selection.whole(node.shape)))
    assert not sources["a"].decodings


@pytest.mark.parametrize(
    "text", ["a + sum(b)", "a[:4, :6] + 1", "a[::-1] + 1", "(a + b)[:4, :6]", "a + 1"]
)
def test_plans_that_are_not_elementwise_over_whole_operands_are_left(text: str) -> None:
    sources = operands()
    found = blockwise.grid(planned(text, **sources), sources)
    assert (found is not None) == (text == "a + 1")


@pytest.mark.parametrize(
    "other",
    [
        Chunked(A, chunks=(4, 6), blocks=(4, 6)),  # another grid
        Chunked(A, chunks=(5, 6), blocks=(2, 3)),
        Chunked(A[0], chunks=(6,), blocks=(3,)),  # that is broadcast
        StoredDataset(A),  # that has no chunks
    ],
)
def test_other_grids_are_left(other: StoredDataset) -> None:
    sources = {"a": Chunked(A), "c": other}
    assert blockwise.grid(planned("a + c", **sources), sources) is None


def test_padded_chunks_are_left() -> None:
    sources = {"a": Chunked(A, chunks=(5, 6), blocks=(2, 3))}
    assert blockwise.grid(planned("a + 1", **sources), sources) is None


class Damaged(ChunkedDataset):
    """An array whose chunks 1 and 3 can't be decoded."""

    async def _filled(self, needed: Any, work: Callable[[Any], Any], region: Any = None) -> Any:
        return work(self)

    async def _whole(self) -> bytes:
        return b""

    def read(self, ids: IntArray) -> list[bytes]:
        frame = samples.array_frame(np.arange(4096.0), chunks=(1024,), blocks=(512,))
        raw = samples.raw_chunks(frame)
        return [raw[n][: -1000 * (n % 2)] if n % 2 else raw[n] for n in ids]


def test_chunk_that_can_not_be_decoded_is_named() -> None:
    frame = samples.array_frame(np.arange(4096.0), chunks=(1024,), blocks=(512,))
    dataset = Damaged(samples.describe(frame), ReadPool(1))
    good = asyncio.run(dataset.decoded(np.array([2, 0]), lambda rows: rows.view("f8")))
    np.testing.assert_array_equal(good, [np.arange(2048.0, 3072), np.arange(1024.0)])
    with pytest.raises(SourceCorrupt) as caught:
        asyncio.run(dataset.decoded(np.array([0, 1, 2]), len))
    assert caught.value.info == {"chunk": 1}


def test_small_chunks_are_computed_together() -> None:
    source = Chunked(np.zeros((40, 60)))
    info = source.info
    most = blockwise.BATCH // info.chunksize
    ids = np.arange(info.nchunks)
    assert [len(batch) for _, batch in blockwise.batches(info, ids)] == [100]
    large = info.model_copy(update={"chunksize": blockwise.BATCH // 3})
    assert most > 100
    assert [len(batch) for _, batch in blockwise.batches(large, ids[:7])] == [3, 3, 1]
    assert [len(batch) for _, batch in blockwise.batches(large, ids[:3], 2)] == [1, 1, 1]


def test_chunks_are_decoded_together_and_computed_step_by_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = {"a": Chunked(np.arange(40.0 * 60).reshape(40, 60))}
    node = planned("a * 2", **sources)
    monkeypatch.setattr(blockwise, "STEP", 3 * sources["a"].info.chunksize)
    ids = np.arange(8)
    found = asyncio.run(blockwise.over(node, sources, ids, len))
    assert found == [3, 3, 2] and sources["a"].decodings == ids.tolist()
    once = asyncio.run(blockwise.over(node, sources, ids, lambda values: values.copy()))
    twice = sources["a"].decoded(ids, lambda rows: rows.view("f8") * 2)
    np.testing.assert_array_equal(np.concatenate(once), asyncio.run(twice))


def test_a_square_is_the_product() -> None:
    values = np.array([-3.3, 1e200, np.nan, -np.inf, 1e-300, -0.0])
    with np.errstate(all="ignore"):
        product = values * values
    for exponent in (2, 2.0):
        np.testing.assert_array_equal(planning.apply("pow", [values, exponent]), product)
        raised = planning.apply("pow", [values[:1], np.full(1, exponent)])
        np.testing.assert_array_equal(raised, np.power(values[:1], exponent))
    assert planning.apply("pow", [values[:1], True])[0] == -3.3
    np.testing.assert_array_equal(planning.apply("pow", [B, 2]), B**2)
    assert planning.apply("pow", [B, 2]).dtype == B.dtype
