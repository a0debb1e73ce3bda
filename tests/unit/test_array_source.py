"""Arrays of other formats: packed, versioned and refused by `ArraySource`, whatever is read"""

from __future__ import annotations

import dataclasses
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from sourcereads import path_of, values_of

from caterva2.cli.cat2pub import open_source
from caterva2.errors import (
    BadRequest,
    CatervaError,
    DeadlineExceeded,
    NotFound,
    SourceCorrupt,
    StaleVersion,
)
from caterva2.frames import attributes, blocks, metadata
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.sources.arrays import Array, ArraySource

QUICK = dataclasses.replace(DEFAULTS.publisher, poll=0.05)
VALUES = np.arange(70, dtype="i4").reshape(7, 10)


class Numpy(ArraySource):
    """Arrays in memory; what is done before one is read can be set."""

    def __init__(self, **held: Any) -> None:
        super().__init__(QUICK)
        self.held = {name: np.asarray(values) for name, values in held.items()}
        self.grid: tuple[int, ...] | None = (3, 4)
        self.attributes: dict[str, Any] = {}
        self.reads = 0
        self.before: Callable[[], object] = lambda: None

    def names(self) -> Iterable[str]:
        return list(self.held)

    def array(self, name: str) -> Array | None:
        held = self.held.get(name)
        if held is None:
            return None
        grid = self.grid if held.ndim == 2 else None
        version = held.tobytes().hex()
        return Array(held.shape, held.dtype, version, grid, self.attributes)

    def read(self, name: str, slices: tuple[slice, ...]) -> Any:
        self.reads += 1
        self.before()
        return self.held[name][slices]


@pytest.mark.parametrize(
    "values",
    [
        VALUES, VALUES.astype(">f8"), VALUES > 5, VALUES.astype("c16"), VALUES.astype("S3"),
        VALUES.astype("M8[D]"), np.float32(3), np.zeros((0, 4)), np.arange(10_000), VALUES[:, :2],
        np.array([(1, 2.5)], [("a", "i2"), ("b", "f8")]),
    ],
    ids=lambda v: f"{v.dtype} {v.shape}",
)  # fmt: skip
def test_what_is_read_is_served(values: Any) -> None:
    found = values_of(Numpy(a=values), "a")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_padding_of_records_is_left_out() -> None:
    values = np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True))
    values["b"] = [1, 2, 3]
    found = values_of(Numpy(a=values), "a")
    assert found.dtype == np.dtype([("a", "i1"), ("b", "<f8")])
    assert found["b"].tolist() == [1, 2, 3]


def test_the_listing_has_every_array() -> None:
    found = Numpy(**{"a": VALUES, "g/b": VALUES}).scan()
    assert {path: (e.kind, e.size) for path, e in found.items()} == {
        "a.b2nd": ("array", VALUES.nbytes), "g/b.b2nd": ("array", VALUES.nbytes),
    }  # fmt: skip
    assert list(Numpy(**{"a": VALUES, "g/b": VALUES}).scan("g")) == ["g/b.b2nd"]


def test_attributes_have_their_types_and_become_vlmeta(caplog: pytest.LogCaptureFixture) -> None:
    source = Numpy(a=VALUES)
    source.attributes = {
        "n": np.int16(3), "x": np.arange(2.0), "when": np.datetime64("2026-01-02"), "t": "text",
        "odd": object(), "n" * 40: 1,
    }  # fmt: skip
    with caplog.at_level(logging.WARNING):
        info = source.info(path_of("a"))
    vlmeta = metadata.decode_all(info.vlmeta)
    assert vlmeta == {"n": 3, "x": [0.0, 1.0], "when": "2026-01-02", "t": "text"}
    attrs = attributes.forms(info)
    assert attrs.keys() == vlmeta.keys() | {"n" * 40}
    assert attrs["n"] == {"dtype": "<i2", "shape": [], "value": 3}
    assert attrs["when"]["dtype"] == "<M8[D]"
    assert [record.message for record in caplog.records] == [
        "a.b2nd@odd is left out: it is of type object"
    ]


def test_chunks_are_kept() -> None:
    source = Numpy(a=VALUES)
    first, again = values_of(source, "a"), values_of(source, "a")
    np.testing.assert_array_equal(first, again)
    assert source.reads == 9


def test_blocks_are_those_of_the_chunk() -> None:
    source = Numpy(a=np.arange(100_000.0))
    etag = source.info(path_of("a")).etag
    raw = next(source.chunks(path_of("a"), etag, [0])).payload
    assert source.blocks(path_of("a"), etag, 0, [1]) == blocks.cut_out_of(raw, [1])


def test_another_version_is_told_with_its_etag() -> None:
    source = Numpy(a=VALUES)
    old = source.info(path_of("a")).etag
    source.held["a"] = VALUES + 1
    with pytest.raises(StaleVersion) as caught:
        list(source.chunks(path_of("a"), old, [0]))
    assert caught.value.info == {"etag": source.info(path_of("a")).etag}


def test_a_chunk_that_was_replaced_while_it_was_read_is_not_given() -> None:
    source = Numpy(a=VALUES)
    old = source.info(path_of("a")).etag
    source.before = lambda: source.held.update(a=VALUES + 1)
    with pytest.raises(StaleVersion):
        list(source.chunks(path_of("a"), old, [0]))
    np.testing.assert_array_equal(values_of(source, "a"), VALUES + 1)


@pytest.mark.parametrize("path", ["b.b2nd", "a", "a/x.b2nd", "a.b2frame"])
def test_an_array_that_does_not_exist(path: str) -> None:
    with pytest.raises(NotFound):
        Numpy(a=VALUES).info(DatasetPath(path))


@pytest.mark.parametrize("n", [-1, 9])
def test_a_chunk_that_does_not_exist(n: int) -> None:
    source = Numpy(a=VALUES)
    with pytest.raises(NotFound):
        list(source.chunks(path_of("a"), source.info(path_of("a")).etag, [n]))


def test_an_array_has_no_bytes() -> None:
    source = Numpy(a=VALUES)
    with pytest.raises(BadRequest):
        source.read_bytes(path_of("a"), source.info(path_of("a")).etag, 0, 1)


def test_a_deadline_is_looked_at_between_chunks() -> None:
    source = Numpy(a=VALUES)
    etag = source.info(path_of("a")).etag
    source.before = lambda: time.sleep(0.1)  # how long a read takes
    with pytest.raises(DeadlineExceeded):
        list(source.chunks(path_of("a"), etag, range(9), time.monotonic() + 0.15))
    assert source.reads < 9


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([None]), "Python objects"),
        (np.zeros((1,) * 17), "17 dimensions"),
        (np.broadcast_to(np.zeros(1, "u1"), (2**31, 2**31)), "makes no sense"),
    ],
)
def test_what_cannot_be_served_is_named_and_the_others_are_listed(
    values: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = Numpy(**{"a": VALUES, "x": VALUES, "../up": VALUES})
    array = source.array

    def other(name: str) -> Array | None:
        return Array(values.shape, values.dtype, "") if name == "x" else array(name)

    source.array = other  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING):
        assert list(source.scan()) == ["a.b2nd"]
        source.scan()
    assert sum(reason in record.message for record in caplog.records) == 1
    with pytest.raises(SourceCorrupt, match=reason):
        source.info(path_of("x"))


def test_an_array_that_raises_is_damaged_and_the_others_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Numpy(a=VALUES, b=VALUES)
    array = source.array
    source.array = lambda name: array(name) if name == "a" else 1 / 0  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING):
        assert list(source.scan()) == ["a.b2nd"]
    assert "division by zero" in caplog.text
    with pytest.raises(SourceCorrupt, match="ZeroDivisionError"):
        source.info(path_of("b"))


@pytest.mark.parametrize("read", [VALUES[:1], VALUES.astype("f4")[:3, :4], None])
def test_values_of_another_shape_or_dtype_are_refused(read: Any) -> None:
    source = Numpy(a=VALUES)
    source.read = lambda name, slices: read  # type: ignore[method-assign]
    with pytest.raises(SourceCorrupt):
        values_of(source, "a")


def test_a_change_is_hinted_at_and_the_end_is_near() -> None:
    source, stop = Numpy(a=VALUES), threading.Event()
    hints = source.changes(stop)
    assert next(hints) == {""}
    stop.set()
    assert list(hints) == []


# --- the example of the documents, as an installed package ---


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package `tiffroot` of docs/sources.md, as if it was installed."""
    text = (Path(__file__).parents[2] / "docs/sources.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    site = tmp_path / "site"
    facts = site / "tiffroot-1.0.dist-info"
    facts.mkdir(parents=True)
    (site / "tiffroot.py").write_text(code)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: tiffroot\nVersion: 1.0\n")
    names = ("tiff", ".scans", "missing")
    points = [f"{name} = tiffroot:{'nothing' if name == 'missing' else 'make'}" for name in names]
    (facts / "entry_points.txt").write_text("\n".join(["[caterva2.sources]", *points]))
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    made = tmp_path / "my.scans"
    made.mkdir()
    stack = np.arange(3 * 4 * 50 * 60, dtype="u2").reshape(3, 4, 50, 60)
    tifffile.imwrite(made / "stack.tif", stack, photometric="minisblack", compression="zlib")
    tifffile.imwrite(made / "one.tif", stack[0, 0], description="a page")
    (made / "torn.tif").write_bytes(b"II*\x00 no more")
    return made


@pytest.mark.parametrize("text", ["tiff:{}", "{}"], ids=["scheme", "suffix"])
def test_the_example_of_the_documents_serves_its_files(
    text: str, package: Path, scans: Path, tmp_path: Path
) -> None:
    source = open_source(text.format(scans), tmp_path)
    assert sorted(source.scan()) == ["one.b2nd", "stack.b2nd"]
    for name in ("one", "stack"):
        np.testing.assert_array_equal(
            values_of(source, name), tifffile.imread(scans / f"{name}.tif")
        )
    info = source.info(path_of("stack"))
    assert info.chunks == (1, 1, 50, 60)
    assert metadata.decode_all(source.info(path_of("one")).vlmeta)["description"] == "a page"


def test_a_file_of_the_example_that_is_written_anew_is_another_version(
    package: Path, scans: Path, tmp_path: Path
) -> None:
    source = open_source(f"tiff:{scans}", tmp_path)
    old = source.info(path_of("one")).etag
    tifffile.imwrite(scans / "one.tif", np.zeros((9, 9), "u1"))
    with pytest.raises(StaleVersion):
        list(source.chunks(path_of("one"), old, [0]))
    assert values_of(source, "one").shape == (9, 9)


@pytest.mark.parametrize("text", ["none:x", "missing:x"])
def test_a_scheme_that_no_package_serves_is_refused(
    text: str, package: Path, tmp_path: Path
) -> None:
    with pytest.raises(CatervaError, match=text.partition(":")[0]):
        open_source(text, tmp_path)
