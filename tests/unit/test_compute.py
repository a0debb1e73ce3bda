"""Expressions over operands: numpy's results, computed piece by piece."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import blosc2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays import selection
from caterva2.arrays.fields import FieldPath
from caterva2.arrays.selection import Selection
from caterva2.compute import costs, planning, syntax
from caterva2.compute.evaluation import Evaluator, ResultCache
from caterva2.compute.functions import FUNCTIONS, REDUCTIONS
from caterva2.compute.plans import Plan
from caterva2.errors import BadExpression, DeadlineExceeded, TooLarge
from caterva2.limits import DEFAULTS, ComputeLimits
from caterva2.model import DatasetInfo
from tests.thoroughness import examples
from tests.unit.samples import array_frame, describe

T = TypeVar("T")
Array = npt.NDArray[Any]


class StoredDataset:
    """An operand in memory, that counts what is read of it."""

    def __init__(self, values: Array, chunks: tuple[int, ...] | None = None) -> None:
        self.array = values
        grid = {"chunks": chunks, "blocks": chunks} if chunks else {}
        self.info: DatasetInfo = describe(array_frame(values, **grid))
        self.read = self.most = 0

    async def values(self, selection: Selection, field: FieldPath = ()) -> Array:
        self.read += selection.size
        self.most = max(self.most, selection.size)
        found: Any = self.array
        for name in field:
            found = found[name]
        for n in reversed(range(len(selection.axes))):
            axis = selection.axes[n]
            at = axis if isinstance(axis, int) else np.array(axis, np.intp)
            found = found[(slice(None),) * n + (at,)]
        return np.asarray(found)


class Here:
    """Threads that are none."""

    async def run(self, work: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        return work()


LIMITS = DEFAULTS.compute
SMALL = dataclasses.replace(LIMITS, compute_memory=1500)
"""So little memory that everything is computed in many pieces."""
SOURCES: dict[str, StoredDataset] = {}
"""The operands of the plans made last, by their names."""


def plan(
    text: str, limits: ComputeLimits = LIMITS, **operands: StoredDataset | Array | Plan
) -> Plan:
    made = {}
    for name, operand in operands.items():
        source = StoredDataset(operand) if isinstance(operand, np.ndarray) else operand
        if isinstance(source, StoredDataset):
            SOURCES[name] = source
            made[name] = planning.operand(source.info, name)
        else:
            made[name] = source
    return planning.plan(syntax.parse(text), made, limits)


def computed(
    node: Plan, key: Any = (), results: ResultCache | None = None, limits: ComputeLimits = LIMITS
) -> Array:
    part = selection.normalise(key, node.shape)
    evaluator = Evaluator(Here(), results or ResultCache(), limits)
    return asyncio.run(evaluator.values(node, SOURCES, part))


def same(found: Array, expected: Any) -> None:
    expected = np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.kind in "fc":
        eps = 1e-4 if expected.dtype.itemsize < 8 else 1e-9
        np.testing.assert_allclose(found, expected, rtol=eps, atol=eps)
    else:
        np.testing.assert_array_equal(found, expected)


CUBE = np.arange(60, dtype=np.float64).reshape(3, 4, 5) % 7
SHEET = np.arange(20, dtype=np.int32).reshape(4, 5) - 9
NAMES = {name: getattr(np, name) for name in [*FUNCTIONS, *REDUCTIONS]} | {"nan": math.nan}


def by_numpy(text: str, **operands: Array) -> Any:
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        return eval(text, {}, NAMES | operands)


NAMES |= {
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
    "bitwise_invert": np.invert,
    # numpy's gives a plain int, which is no array in what follows.
    "count_nonzero": lambda *given, **more: np.asarray(np.count_nonzero(*given, **more)),
}

TEXTS = [
    "a + b", "a - 1", "-a", "abs(b) ** 2", "a * 2 - b.sum()", "b // 3 + b % 3", "b / 4",
    "(a > b) & ~(b < -3)", "where(a > 3, a, -1)", "clip(b, -2, 300)", "b << 1 | b >> 1",
    "(a - mean(a, axis=1, keepdims=True)) / std(a)", "sum(a, axis=(0, 2))", "sum(a * b, axis=-1)",
    "argmax(a)", "argmin(a, axis=1)", "argmax(b, axis=0, keepdims=True)", "var(a, 1, ddof=1)",
    "a[1:] - a[:-1]", "a[0] + b[::-1, ::-1]", "(a + b)[1, ::2]", "sum((a + b)[:, 1:], axis=0)",
    "min(a)", "max(b, 0)", "any(a > 5, axis=1)", "all(b < 99)", "prod(b, axis=1)",
    "count_nonzero(b, axis=1)", "b.mean()", "mean(b == 1)", "a + sum(a - mean(a)) * 1j",
    "sin(2) * a", "a[1, 2, 3]", "a[..., -1:]", "hypot(a, b) + arctan2(b, a)", "isnan(a / b)",
    "sum(sum(a, axis=0) + b, axis=0)", "(b > 0) * a", "real(a) + imag(a * 1j)", "b + True",
    "b & ~1", "b & (1 | 2) ^ 12 >> 1", "b ^ (3 & 1)", "(b > 0) ^ (True & False)",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_expression_gives_what_numpy_gives(text: str) -> None:
    expected = by_numpy(text, a=CUBE, b=SHEET)
    node = plan(text, a=StoredDataset(CUBE, (2, 2, 3)), b=SHEET)
    same(computed(node, limits=SMALL), expected)


@pytest.mark.parametrize(
    "text", ["a + b", "a * 2 - b.sum()", "sin(a) + b", "sum(a, axis=1)", "b / 4"]
)
def test_expression_gives_what_blosc2_gives(text: str) -> None:
    operands = {"a": blosc2.asarray(CUBE), "b": blosc2.asarray(SHEET)}
    expected = blosc2.lazyexpr(text, {name: operands[name] for name in "ab" if name in text})
    same(computed(plan(text, a=CUBE, b=SHEET)), expected.compute()[()])


shapes = st.sampled_from([(), (1,), (7,), (4, 5), (1, 5), (4, 1), (3, 4, 5), (3, 1, 1), (2, 0, 5)])
dtypes = st.sampled_from(["i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", "c8", "c16", "?"])


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return np.asarray(rng.integers(0, 9, shape)).astype(draw(dtypes))


def trees(leaf: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        binary = st.sampled_from(["+", "*", "-", "<", "==", "/"])
        reduction = st.sampled_from(["sum", "max", "mean", "any", "argmin", "var", "count_nonzero"])
        axis = st.sampled_from(["", ", 0", ", -1", ", axis=0, keepdims=True"])
        cut = st.sampled_from(["[0]", "[::-1]", "[..., 1:]", "[1:, ::2]", "[:0]"])
        return (
            st.tuples(inner, binary, inner).map(lambda parts: f"({' '.join(parts)})")
            | st.tuples(st.sampled_from(["sin", "abs", "isnan", "conj"]), inner).map(
                lambda parts: f"{parts[0]}({parts[1]})"
            )
            | st.tuples(reduction, inner, axis).map(lambda p: f"{p[0]}({p[1]}{p[2]})")
            | st.tuples(inner, cut).map("".join)
        )

    return st.recursive(leaf, more, max_leaves=6)


@settings(max_examples=examples(400))
@given(
    text=trees(st.sampled_from(["a", "b", "a", "b", "2", "1.5"])),
    a=arrays(), b=arrays(), memory=st.sampled_from([100, 1000, 10**6]), data=st.data(),
)  # fmt: skip
def test_random_expression_gives_what_numpy_gives(
    text: str, a: Array, b: Array, memory: int, data: st.DataObject
) -> None:
    limits = dataclasses.replace(LIMITS, compute_memory=memory)
    try:
        node = plan(text, a=a, b=b)
    except BadExpression:
        return  # numpy would refuse it too, or it has no operand: see below
    expected = np.asarray(by_numpy(text, a=a, b=b))
    _close(computed(node, limits=limits), expected)
    key = tuple(
        data.draw(st.integers(0, size - 1) if size else st.just(slice(None)))
        if data.draw(st.booleans())
        else slice(data.draw(st.integers(0, 3)), None, data.draw(st.sampled_from([1, 2, -1])))
        for size in expected.shape
    )
    _close(computed(node, key, limits=limits), expected[key])


def _close(found: Array, expected: Any) -> None:
    expected = np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.kind == "f" and expected.dtype.itemsize == 2:
        return  # numpy itself adds these in steps that lose much
    eps = 1e-4 if expected.dtype.itemsize in (4, 8) else 1e-9
    np.testing.assert_allclose(found, expected, rtol=eps, atol=eps)


@settings(max_examples=examples(150))
@given(
    name=st.sampled_from(sorted(REDUCTIONS)), dtype=dtypes,
    specials=st.lists(st.sampled_from([0, 1, 2, 2, np.nan, np.inf]), min_size=1, max_size=24),
    axis=st.sampled_from(["", ", 0", ", 1"]), memory=st.sampled_from([100, 10**6]),
)  # fmt: skip
def test_reduction_meets_what_is_undefined_as_numpy_does(
    name: str, dtype: str, specials: list[float], axis: str, memory: int
) -> None:
    with np.errstate(all="ignore"):
        values = np.array(specials * 2).astype(dtype).reshape(2, -1)
    if np.dtype(dtype).kind == "c" or dtype == "f2":
        values = np.nan_to_num(values, nan=5, posinf=3)
    limits = dataclasses.replace(LIMITS, compute_memory=memory)
    node = plan(f"{name}(a{axis})", a=StoredDataset(values, (1, 3)))
    _close(computed(node, limits=limits), by_numpy(f"{name}(a{axis})", a=values))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_is_numpys(name: str) -> None:
    for dtype in (np.float64, np.int16, bool):
        given = [np.array([0, 1, 1]).astype(dtype)] * FUNCTIONS[name].count
        operands = dict(zip("abc", given, strict=False))
        text = f"{name}({', '.join(operands)})"
        try:
            expected = by_numpy(text, **operands)
        except TypeError:
            with pytest.raises(BadExpression, match="Runtime error"):
                plan(text, **operands)
            continue
        same(computed(plan(text, **operands)), expected)


def test_fields_of_records_are_operands() -> None:
    records = np.zeros(6, [("x", "f4"), ("in", [("y", "i8")])])
    records["x"], records["in"]["y"] = np.arange(6), 3
    found = computed(plan("a['x'][1:] * a['in.y'][0]", a=records))
    same(found, records["x"][1:] * np.int64(3))


def test_times_are_compared_and_subtracted() -> None:
    times = np.array(["2020-01-01", "2021-06-01", "NaT"], "M8[s]")
    same(computed(plan("a - a[0]", a=times)), times - times[0])
    same(computed(plan("(a > b).sum()", a=times, b=times[::-1].copy())), 0)
    same(computed(plan("min(a[:2])", a=times)), times[0])


# --- what can't be ---


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a + c", "Expression error: c is not in the list of available datasets"),
        ("a + d", "Runtime error: add: .* can't be broadcast"),
        ("sum(a, axis=3)", "not axes of 3 dimensions"),
        ("sum(a, axis=(0, 0))", "twice"),
        ("a[3]", "out of bounds"),
        ("a[0, 0, 0, 0]", "too many indices"),
        ("a & b", "Runtime error: bitwise_and"),
        ("b ** -1", "Integers to negative integer powers"),
        ("b.sum() + 2**64 - 1", "Runtime error|larger"),
        ("e + 300", "Runtime error: add: Python integer 300 out of bounds"),
        ("1 + 1", "not an array of numbers"),
        ("sum(1)", "a number has no axes"),
        ("r", "name a field of it"),
        ("r['z']", "does not exist"),
        ("r['v']", "holds arrays"),
        ("a['x']", "does not exist"),
        ("s", "which is not a number"),
        ("max(n)", "of nothing"),
        ("mean(t)", "mean of times"),
        ("t * t", "Runtime error"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_computed(text: str, why: str) -> None:
    operands: dict[str, Array] = {
        "a": CUBE, "b": SHEET, "d": np.zeros(7), "e": np.zeros(3, "i1"),
        "r": np.zeros(3, [("x", "f4"), ("v", "f4", 2)]), "s": np.array(["x", "y"]),
        "n": np.zeros(0), "t": np.zeros(3, "M8[s]"),
    }  # fmt: skip
    with pytest.raises(BadExpression, match=why):
        plan(text, **operands)


def test_what_only_values_tell_is_an_error_when_they_are_read() -> None:
    node = plan("a ** b", a=np.arange(4), b=np.array([1, -1, 0, 2]))
    assert node.shape == (4,)
    with pytest.raises(BadExpression, match="negative integer powers"):
        computed(node)


def test_huge_result_is_refused() -> None:
    side = StoredDataset(np.zeros((2**21, 1), "i1"))
    with pytest.raises(TooLarge, match="COMPUTED_BYTES"):
        plan("a + b[:, 0]", a=side, b=side)


def test_huge_result_is_computed_where_it_is_read() -> None:
    side = StoredDataset(np.arange(2**15, dtype="i4")[:, None])
    node = plan("a + a[:, 0]", a=side)
    assert node.shape == (2**15, 2**15)
    same(computed(node, (slice(7, 9), slice(100, 102))), np.array([[107, 108], [108, 109]], "i4"))
    assert side.read == 4


def test_too_much_of_the_operands_is_refused() -> None:
    limits = dataclasses.replace(LIMITS, compute_operands=8 * 1000)
    held = StoredDataset(np.zeros(2000), (100,))
    same(computed(plan("sum(a[:1000])", a=held), limits=limits), 0.0)
    with pytest.raises(TooLarge, match="COMPUTE_OPERANDS is 8000"):
        computed(plan("sum(a)", a=held), limits=limits)
    assert held.read == 1000


def test_too_large_a_part_is_refused() -> None:
    limits = dataclasses.replace(LIMITS, compute_staged=1000)
    with pytest.raises(TooLarge, match="COMPUTE_STAGED is 1000"):
        computed(plan("sum(mean(a, axis=1) + 1)", a=np.zeros((1000, 2))), limits=limits)


def test_parts_that_are_held_at_once_are_counted_together() -> None:
    limits = dataclasses.replace(LIMITS, compute_staged=2 * 8 * 99)
    two = "(a + 1)[1:] - (a + 1)[:-1]"

    def found(node: Plan) -> Array:
        return computed(node, limits=limits)

    same(found(plan(two, a=np.zeros(100))), np.zeros(99))
    same(found(plan("x + x", x=plan("(a + 1)[1:]", a=np.zeros(100)))), np.full(99, 2.0))
    same(found(plan(f"sum({two}) + sum({two})", a=np.zeros(99))), 0.0)
    with pytest.raises(TooLarge, match="COMPUTE_STAGED"):
        found(plan(f"{two} + (a * 2)[1:]", a=np.zeros(100)))


def test_time_is_bounded() -> None:
    limits = dataclasses.replace(LIMITS, compute_deadline=0.05)

    class Slow(StoredDataset):
        async def values(self, wanted: Selection, field: FieldPath = ()) -> Array:
            await asyncio.sleep(30)
            raise AssertionError

    with pytest.raises(DeadlineExceeded, match="COMPUTE_DEADLINE"):
        computed(plan("a + 1", a=Slow(np.zeros(3))), limits=limits)


def test_a_cancelled_evaluation_stops_all_that_it_began() -> None:
    class Slow(StoredDataset):
        running = 0

        async def values(self, wanted: Selection, field: FieldPath = ()) -> Array:
            self.running += 1
            try:
                await asyncio.sleep(0.01)
            finally:
                self.running -= 1
            return await super().values(wanted, field)

    held = Slow(np.zeros((50, 40)), (5, 5))
    node = plan("a - sum(a * 2)", a=held)

    async def given_up() -> set[asyncio.Task[Any]]:
        whole = selection.whole(node.shape)
        evaluator = Evaluator(Here(), ResultCache(), SMALL)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(evaluator.values(node, SOURCES, whole), 0.05)
        for _ in range(10):  # a reduction that was shared ends by itself
            await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]

    assert asyncio.run(given_up()) == set()
    assert held.running == 0
    assert 0 < held.read < 2000


def test_expressions_over_expressions_do_not_grow_without_bound() -> None:
    node: Plan = plan("a + a", a=np.zeros(3))
    with pytest.raises(BadExpression, match="EXPRESSION_NODES"):
        for _ in range(20):
            node = plan("x + x", x=node)
    node = plan("a + 1", a=np.zeros(3))
    with pytest.raises(BadExpression, match="EXPRESSION_DEPTH"):
        for _ in range(200):
            node = plan("x + 1", x=node)


# --- how it is done ---


def test_memory_is_bounded_whatever_is_selected() -> None:
    held = StoredDataset(np.zeros((50, 40)), (20, 20))
    computed(plan("sum(a * 2 + 1)", a=held), limits=SMALL)
    assert held.read == 2000
    assert held.most * 8 * 2 < SMALL.compute_memory


def test_only_what_is_wanted_is_read() -> None:
    held = StoredDataset(CUBE)
    same(computed(plan("a * 2", a=held), (1, slice(2, 4))), CUBE[1, 2:4] * 2)
    assert held.read == 10
    same(computed(plan("sum(a, axis=0)", a=held), (0, 1)), CUBE[:, 0, 1].sum())
    assert held.read == 10 + 3


def test_reduction_is_done_once_for_all_pieces_and_readers() -> None:
    held, results = StoredDataset(CUBE), ResultCache()
    node = plan("a - mean(a)", a=held)
    computed(node, (), results, SMALL)
    assert held.read == 2 * CUBE.size
    computed(plan("a - mean(a)", a=held), (0, 0, 0), results, SMALL)
    assert held.read == 2 * CUBE.size + 1


def test_reduction_as_large_as_there_may_be_is_kept() -> None:
    kept, tries = ResultCache(), []

    async def make() -> Array:
        tries.append(1)
        return np.empty(LIMITS.compute_staged, "i1")

    async def twice() -> None:
        await kept.get("k", make)
        await kept.get("k", make)

    asyncio.run(twice())
    assert len(tries) == 1


def test_reductions_that_are_kept_are_bounded() -> None:
    kept, made = ResultCache(max_bytes=800), []

    async def get(key: int) -> None:
        async def make() -> Array:
            made.append(key)
            return np.zeros(10)

        await kept.get(key, make)

    async def many() -> None:
        for key in [*range(100), 95, 89]:
            await get(key)

    asyncio.run(many())
    assert made == [*range(100), 89]


def test_a_failed_reduction_fails_for_all_waiting_callers_and_is_tried_again() -> None:
    kept, tries = ResultCache(), []

    async def make() -> Array:
        tries.append(1)
        await asyncio.sleep(0.01)
        if len(tries) == 1:
            raise BadExpression("first")
        return np.ones(1)

    async def work() -> None:
        both = await asyncio.gather(
            kept.get("k", make), kept.get("k", make), return_exceptions=True
        )
        assert all(isinstance(error, BadExpression) for error in both)
        assert await kept.get("k", make) is await kept.get("k", make)

    asyncio.run(work())
    assert len(tries) == 2


def test_a_reduction_goes_on_when_one_of_its_callers_is_cancelled() -> None:
    kept, tries = ResultCache(), []

    async def make() -> Array:
        tries.append(1)
        await asyncio.sleep(0.01)
        return np.ones(1)

    async def work() -> Array:
        first = asyncio.create_task(kept.get("k", make))
        second = asyncio.create_task(kept.get("k", make))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(work()) == 1
    assert len(tries) == 1


def test_result_has_the_grid_of_an_operand_that_is_like_it() -> None:
    a, b = StoredDataset(CUBE, (2, 2, 3)), StoredDataset(SHEET, (2, 2))
    assert costs.grid(plan("b + a", a=a, b=b)) == ((2, 2, 3), (2, 2, 3))
    assert costs.grid(plan("a[1:] - a[:-1]", a=a)) == ((2, 2, 3), (2, 2, 3))
    assert costs.grid(plan("a[:1]", a=a)) == ((1, 2, 3), (1, 2, 3))


@pytest.mark.parametrize(
    "text", ["a", "a + 1j", "a + a[:, :1]", "sum(a, axis=0)", "a[0]", "a[:0]", "sum(a)"]
)
def test_chunks_of_a_result_are_small_enough(text: str) -> None:
    node = plan(text, a=StoredDataset(np.zeros((100, 100)), (50, 100)))
    chunks, blocks = costs.grid(node, dataclasses.replace(LIMITS, computed_chunk=1024))
    assert all(0 < block <= chunk for chunk, block in zip(chunks, blocks, strict=True))
    assert math.prod(chunks) * node.dtype.itemsize <= max(
        1024, 1024 * node.dtype.itemsize * (0 in node.shape)
    )


def test_key_of_a_result_differs_with_its_content() -> None:
    held = StoredDataset(CUBE)
    keys = [
        plan(text, a=held, b=SHEET).key
        for text in ("a", "a + 1", "a + 1.0", "a - 1", "a[0]", "a[1]", "sum(a)", "sum(a, 0)", "b")
    ]
    assert len(set(keys)) == len(keys)
    other = StoredDataset(CUBE)
    other.info = other.info.model_copy(update={"etag": "v2"})
    assert plan("a", a=held).key == plan("a", a=StoredDataset(CUBE)).key != plan("a", a=other).key
