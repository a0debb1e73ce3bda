"""Index arrays, against numpy's own advanced indexing."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays import points as indices
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.errors import BadSelection, TooLarge
from caterva2.limits import DEFAULTS, constants
from caterva2.names import RootName
from caterva2.reading import points as gathering
from caterva2.reading import slices
from caterva2.reading.scope import DEFAULT_SCOPE, ReadScope
from tests.keys import as_key, index_entries
from tests.thoroughness import examples

ROOT = RootName("foo")


def _values(replica: Replica, points: Points, scope: ReadScope = DEFAULT_SCOPE) -> Any:
    groups = indices.group(points, replica.info.chunks)
    return gathering.values(replica, points, groups, (), scope)


def _touched(replica: Replica, points: Points) -> list[int]:
    groups = indices.group(points, replica.info.chunks)
    return gathering.chunk_ids(points, replica.info, groups).tolist()


@settings(max_examples=examples(300))
@given(st.data())
def test_result_is_numpys(data: st.DataObject) -> None:
    """From just the chunks that hold the points, and again from the sealed file."""
    shape = tuple(data.draw(st.lists(st.integers(0, 7), min_size=1, max_size=4)))
    chunks = tuple(data.draw(st.integers(1, max(n, 1))) for n in shape)
    blocks = tuple(data.draw(st.integers(1, n)) for n in chunks)
    values = np.arange(np.prod(shape, dtype=int), dtype="i4").reshape(shape) + 1
    entries = data.draw(index_entries(shape))
    wanted = indices.parse(entries, shape)
    expected = values[as_key(entries)]
    assert wanted.result_shape == expected.shape
    if isinstance(wanted, Selection):
        return
    grid = {} if 0 in shape else {"chunks": chunks, "blocks": blocks}
    frame = samples.array_frame(values, **grid)
    with tempfile.TemporaryDirectory() as directory:
        replica = Store(Path(directory)).replica(ROOT, samples.describe(frame))
        raw = samples.raw_chunks(frame)
        samples.fill(replica, raw, _touched(replica, wanted))
        np.testing.assert_array_equal(_values(replica, wanted), expected)
        rest = replica.missing(np.arange(len(raw))).tolist()
        if rest:
            samples.fill(replica, raw, rest)
        replica.seal()
        np.testing.assert_array_equal(_values(replica, wanted), expected)
        packed = slices.pack(replica.info, _values(replica, wanted))
        np.testing.assert_array_equal(samples.opened(packed), expected)


def test_only_the_chunks_of_the_points_are_touched(store: Store) -> None:
    frame = samples.array_frame(np.zeros((100, 100)), chunks=(10, 10), blocks=(5, 5))
    replica = store.replica(ROOT, samples.describe(frame))
    corners = indices.parse([[0, 99], [0, 99]], (100, 100))
    assert isinstance(corners, Points)
    assert _touched(replica, corners) == [0, 99]


def test_values_need_each_of_their_chunks(store: Store) -> None:
    frame = samples.array_frame(np.arange(100), chunks=(10,), blocks=(5,))
    replica, raw = store.replica(ROOT, samples.describe(frame)), samples.raw_chunks(frame)
    samples.fill(replica, raw, [0, 1])
    points = indices.parse([[3, 25]], (100,))
    assert isinstance(points, Points)
    assert _values(replica, points) is None
    samples.fill(replica, raw, [2])
    assert _values(replica, points).tolist() == [3, 25]


def test_many_chunks_are_decoded_in_steps(store: Store) -> None:
    scope = ReadScope(replace(DEFAULTS.cache, decode_step=100))
    values = np.arange(400).reshape(20, 20)
    frame = samples.array_frame(values, chunks=(3, 4), blocks=(2, 2))
    replica, raw = store.replica(ROOT, samples.describe(frame)), samples.raw_chunks(frame)
    samples.fill(replica, raw, range(len(raw)))
    points = indices.parse([[19, 0, 7, 7, -1], None], (20, 20))
    assert isinstance(points, Points)
    np.testing.assert_array_equal(_values(replica, points, scope), values[[19, 0, 7, 7, -1]])


def test_few_points_of_a_sealed_array_come_from_its_blocks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A chunk takes longer to decode than four points.
    values = np.random.default_rng(0).integers(0, 2**40, (200, 200))
    frame = samples.array_frame(values, chunks=(190, 190), blocks=(20, 20))
    replica, raw = store.replica(ROOT, samples.describe(frame)), samples.raw_chunks(frame)
    samples.fill(replica, raw, range(len(raw)))
    replica.seal()
    monkeypatch.setattr(replica, "read", None)  # no whole chunk is needed
    points = indices.parse([[[199, 0], [3, 3]], "2:9:3"], (200, 200))
    assert isinstance(points, Points)
    np.testing.assert_array_equal(_values(replica, points), values[[[199, 0], [3, 3]], 2:9:3])


@pytest.mark.parametrize("where", [[0, 29], [-1, -30], [[9, 10], [11, 9]], []])
def test_byte_strings_have_points_too(store: Store, where: Any) -> None:
    data = bytes(range(30))
    replica = store.replica(ROOT, samples.describe(samples.byte_frame(data, 11), "a.b2frame"))
    raw = samples.raw_chunks(samples.byte_frame(data, 11))
    samples.fill(replica, raw, range(len(raw)))
    points = indices.parse([where], (30,))
    assert isinstance(points, Points)
    expected = np.frombuffer(data, "u1")[np.array(where, int)]
    np.testing.assert_array_equal(_values(replica, points), expected)


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ("0", "has to be a list"),
        ([[0], [0], [0]], "3 entries for 2 dimensions"),
        ([[10]], "index 10 is out of bounds for axis 0 with size 10"),
        ([None, [-6]], "index -6 is out of bounds for axis 1 with size 5"),
        ([[True]], "holds a boolean"),
        ([[1.5]], "holds 1.5"),
        ([["1"]], "holds '1'"),
        ([[1, [2]]], "holds"),
        ([[[1], [2, 3]]], r"indices\[0\]"),
        ([[2**70]], r"indices\[0\]"),
        ([True], "is a boolean"),
        ([{}], r"is .*, it has to be"),
        (["1"], "is '1'"),
        ([":,:"], "is ':,:'"),
        (["::0", [1]], "axis 0"),
        ([[0, 1], [0, 1, 2]], "do not broadcast"),
        ([99, [0]], "index 99 is out of bounds"),
    ],
)
def test_what_is_no_index_is_named(entries: Any, what: str) -> None:
    with pytest.raises(BadSelection, match=what):
        indices.parse(entries, (10, 5))


def test_lists_may_be_nested_as_deep_as_an_array_may_be() -> None:
    deep: Any = [0]
    for _ in range(constants.NDIM):
        deep = [deep]
    with pytest.raises(BadSelection, match="NDIM"):
        indices.parse([deep], (10,))
    assert indices.parse([deep[0]], (10,)).result_shape == (1,) * constants.NDIM


def test_result_has_no_more_axes_than_an_array_may_have() -> None:
    deep: Any = 0
    for _ in range(constants.NDIM):
        deep = [deep]
    with pytest.raises(BadSelection, match="17 axes, NDIM is 16"):
        indices.parse([deep], (10, 10))


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "entries",
    [
        [[0] * (constants.INDEX_ENTRIES + 1)],
        pytest.param([[[0]] * (constants.INDEX_ENTRIES // 2), [[0]] * 10], marks=pytest.mark.slow),
    ],
)
def test_number_of_entries_has_a_limit(entries: Any) -> None:
    with pytest.raises(TooLarge, match="INDEX_ENTRIES"):
        indices.parse(entries, (10, 10))


def test_number_of_points_has_a_limit() -> None:
    with pytest.raises(TooLarge, match="INDEX_POINTS"):
        indices.parse([[[0]] * 3000, [0] * 3000], (10, 10))
