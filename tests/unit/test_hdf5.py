"""What of an HDF5 file is served, what is left out, and why."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdf5reads import passes, read

from caterva2.cli.cat2pub import open_source
from caterva2.errors import ConfigError
from caterva2.frames import metadata
from caterva2.frames.packing import rows
from caterva2.hdf5 import listing
from caterva2.hdf5.file import METADATA_BYTES
from caterva2.hdf5.source import Hdf5Source
from caterva2.isolation.hdf5 import isolated_hdf5
from caterva2.names import DatasetPath
from caterva2.sources import conversions
from tests import hdf5files

MANY = 3500
"""Datasets of a file that is larger than the metadata that HDF5 may keep of it."""


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Hdf5Source, dict[str, Any]]:
    path = tmp_path_factory.mktemp("kinds") / "kinds.h5"
    written = hdf5files.write(path)
    return Hdf5Source(path), written


@pytest.fixture
def refused(tmp_path: Path) -> Iterator[tuple[Hdf5Source, dict[str, str]]]:
    reasons = hdf5files.write_refused(tmp_path / "r.h5", tmp_path / "outside.h5")
    source = Hdf5Source(tmp_path / "r.h5")
    yield source, reasons
    source.close()


NAMES = [
    *(f"group/{name}" for name in hdf5files.values()),
    *(f"{group}/{name}" for group in ("sparse", "masked") for name in ("plain", "gzip", "blosc2")),
    "virtual", "hard", "soft",
]  # fmt: skip


def test_every_dataset_is_listed(kinds: tuple[Hdf5Source, dict[str, Any]]) -> None:
    source, written = kinds
    assert set(source.scan()) == {f"{name}.b2nd" for name in written}
    assert set(written) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_dataset_has_the_values_of_h5py(
    kinds: tuple[Hdf5Source, dict[str, Any]], name: str
) -> None:
    source, written = kinds
    np.testing.assert_array_equal(read(source, f"{name}.b2nd"), written[name])


@pytest.mark.parametrize(
    "name",
    ["filter-blosc2", "blosc2-bool", "blosc2->i4", "blosc2-c16", "blosc2-S300", "many-blocks",
     "record-nested-blosc2", "wide-chunk-blosc2"],
)  # fmt: skip
def test_blosc2_chunks_pass_as_they_are(
    kinds: tuple[Hdf5Source, dict[str, Any]], name: str
) -> None:
    source, _ = kinds
    assert passes(source, f"group/{name}.b2nd")


@pytest.mark.parametrize(
    "name",
    ["filter-gzip", "filter-blosc2-fletcher32", "filter-shuffle-blosc2", "record-padded-blosc2",
     "record-turned-blosc2", "odd-blocks"],
)  # fmt: skip
def test_other_chunks_are_converted(kinds: tuple[Hdf5Source, dict[str, Any]], name: str) -> None:
    source, _ = kinds
    assert not passes(source, f"group/{name}.b2nd")


def test_record_with_200_fields_is_served(tmp_path: Path) -> None:
    values = np.arange(600.0).view([(f"channel_number_{n:05d}", "<f8") for n in range(200)])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = values
    source = Hdf5Source(tmp_path / "a.h5")
    np.testing.assert_array_equal(read(source, "x.b2nd"), values)
    source.close()


def test_chunk_shapes_are_kept(kinds: tuple[Hdf5Source, dict[str, Any]]) -> None:
    source, _ = kinds
    for name, (_, given) in hdf5files.values().items():
        if "chunks" in given:
            assert source.info(DatasetPath(f"group/{name}.b2nd")).chunks == given["chunks"]


def test_what_is_left_out_is_told_with_its_reason_once(
    refused: tuple[Hdf5Source, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    source, reasons = refused
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert set(source.scan()) == {"good.b2nd", "a.b2nd"}
    told = source.file().contents().refused
    assert set(told) == set(reasons)
    for name, reason in reasons.items():
        assert reason in told[name], name
    assert len(caplog.records) == len(reasons)


def test_example_file_is_served_but_for_what_is_unsupported(tmp_path: Path) -> None:
    path = tmp_path / "example.h5"
    module = "caterva2.examples.hdf5root"
    done = subprocess.run([sys.executable, "-m", module, str(path)], check=True, timeout=60)
    assert done.returncode == 0
    source = Hdf5Source(path)
    assert sorted(source.scan()) == [
        "arrays/1d-of-arrays.b2nd", "arrays/1d-of-records.b2nd", "arrays/1d-raw.b2nd",
        "arrays/1ds-blosc2.b2nd", "arrays/2d-gzip.b2nd", "arrays/2d-nochunks.b2nd",
        "arrays/3d-blosc2.b2nd", "attrs.b2nd", "scalar.b2nd", "string.b2nd", "text.b2nd",
    ]  # fmt: skip
    assert all(name.startswith("unsupported/") for name in source.file().contents().refused)
    attributes = metadata.decode_all(source.info(DatasetPath("attrs.b2nd")).vlmeta)
    assert attributes == {
        "Int": 42, "IntT": 42, "Bin": b"foo", "BinT": b"foo", "Str": "bar",
        "Arr": [[0, 1], [2, 3]], "ArrT": [[0, 1], [2, 3]], "NilBin": None, "NilInt": None,
    }  # fmt: skip
    assert read(source, "scalar.b2nd") == 123.456
    assert read(source, "string.b2nd") == b"Hello world!"
    assert read(source, "text.b2nd") == "Hello world!"
    source.close()


ATTRIBUTES: dict[str, tuple[Any, Any]] = {
    "bool": (True, True), "float": (np.float32(0.5), 0.5), "nan-free": (np.float16(2), 2.0),
    "complex": (1 + 2j, 1 + 2j), "text": ("größe", "größe"), "bytes": (np.bytes_(b"x"), b"x"),
    "opaque": (np.void(b"a\0b"), b"a\0b"), "texts": (["a", "b"], ["a", "b"]),
    "fixed": (np.array("ä".encode(), h5py.string_dtype("utf-8", 4)), "ä"),
    "numbers": (np.arange(3, dtype=">u2"), [0, 1, 2]), "none": (h5py.Empty("f4"), None),
    "record": (np.array((1, 2.0), "i4,f8"), {"f0": 1, "f1": 2.0}),
    "enum": (np.array(1, hdf5files.COLOURS), 1), "large": (np.uint64(2**64 - 1), 2**64 - 1),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute_becomes_a_plain_value(tmp_path: Path, name: str) -> None:
    value, expected = ATTRIBUTES[name]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
        file["x"].attrs[name] = value
    source = Hdf5Source(tmp_path / "a.h5")
    found = metadata.decode_all(source.info(DatasetPath("x.b2nd")).vlmeta)
    source.close()
    assert found == {name: expected}
    assert type(found[name]) is type(expected)


def test_attribute_that_is_no_plain_value_is_not_in_vlmeta(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
        file["x"].attrs["reference"] = file["x"].ref
        file["x"].attrs["n" * 40] = 1
        file["x"].attrs["good"] = 1
    source = Hdf5Source(tmp_path / "a.h5")
    info = source.info(DatasetPath("x.b2nd"))
    assert set(info.vlmeta) == {"good"}
    assert set(info.attrs) == {"good", "reference", "n" * 40}
    source.close()


def test_only_a_file_that_is_hdf5_is_a_root(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"garbage" * 1000)
    for name in ("x.h5", "nothing.h5"):
        with pytest.raises(ConfigError, match=name):
            open_source(tmp_path / name, tmp_path)


@pytest.mark.parametrize(
    ("grid", "itemsize", "blocksize", "blocks"),
    [
        ((100,), 4, 40, (10,)),
        ((100,), 4, 120, None),
        ((4, 6), 8, 96, (2, 6)),
        ((4, 6), 8, 16, (1, 2)),
        ((4, 6), 8, 64, None),
        ((4, 6), 8, 144, None),
        ((4, 6), 8, 12, None),
        ((2, 3, 4), 1, 24, (2, 3, 4)),
    ],
)
def test_blocks_that_lie_one_behind_the_other(
    grid: tuple[int, ...], itemsize: int, blocksize: int, blocks: tuple[int, ...] | None
) -> None:
    assert rows(grid, itemsize, blocksize) == blocks


# --- conversions ---


def test_conversion_is_kept_within_bounds() -> None:
    kept = conversions.Conversions(max_bytes=100)
    for n in range(10):
        kept.put(("v", n), bytes(30))
    assert kept.nbytes <= 100
    assert [n for n in range(10) if kept.get(("v", n))] == [7, 8, 9]
    kept.put(("v", 10), bytes(101))
    assert kept.get(("v", 10)) is None


def test_several_threads_read_at_once(kinds: tuple[Hdf5Source, dict[str, Any]]) -> None:
    source, written = kinds
    wrong: list[str] = []

    def compare(names: list[str]) -> None:
        wrong.extend(
            name
            for name in names
            if not np.array_equal(read(source, f"{name}.b2nd"), written[name])
        )

    names = [f"group/filter-{name}" for name in hdf5files.FILTERS]
    threads = [threading.Thread(target=compare, args=(names,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


@pytest.mark.slow
def test_listing_comes_in_parts_and_metadata_that_hdf5_keeps_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "TURN", 0.001)
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for n in range(MANY):
            file[f"d{n}"] = n
    source = Hdf5Source(path)
    batches = list(source.batches())
    assert len(batches) > 1
    assert sum(map(len, batches)) == MANY
    most, _, now, _ = source.file().file.id.get_mdc_size()
    assert now <= most <= METADATA_BYTES < path.stat().st_size
    source.close()


def test_listing_keeps_nothing_open(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for n in range(500):
            file[f"g{n % 10}/d{n}"] = n
    source = Hdf5Source(tmp_path / "x.h5")
    assert len(source.scan()) == 500
    assert h5py.h5f.get_obj_count(source.file().file.id, h5py.h5f.OBJ_ALL) < 10
    source.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_file_with_100_000_datasets_takes_little_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for g in range(100):
            group = file.create_group(f"g{g}")
            for n in range(1000):
                group.create_dataset(f"d{n}", data=np.arange(4))
    source = isolated_hdf5(tmp_path / "x.h5")
    started = time.monotonic()
    assert len(source.scan()) == 100_000
    took = time.monotonic() - started
    status = Path(f"/proc/{source.pid}/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    assert int(peak) < 140_000  # kB
    if took > 5:
        assert caplog.text.count("names so far") >= took // 4
    source.close()
