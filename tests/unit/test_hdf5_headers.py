"""Listing of HDF5 datasets by their headers: as the library has them, and without opening them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caterva2.hdf5 import links
from caterva2.hdf5.file import Hdf5File
from caterva2.hdf5.headers import FIRST, MOST, Headers
from caterva2.hdf5.listing import Contents
from caterva2.sources.versions import FilePlace
from tests import hdf5files

FORMS: dict[str, dict[str, Any]] = {
    "old": {},
    "user block": {"userblock_size": 512},
    "new": {"libver": "latest"},
    "ordered": {"track_order": True},
    "new and ordered": {"libver": "latest", "track_order": True},
    "pages": {"fs_strategy": "page", "fs_page_size": 4096, "libver": "v110"},
}


def listed(path: Path) -> Contents:
    file = Hdf5File(FilePlace(path))
    try:
        return file.contents()
    finally:
        file.close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The names of what the library has opened."""
    names, usual = list[bytes](), links._dataset

    def dataset(group: Any, name: bytes) -> Any:
        names.append(name)
        return usual(group, name)

    monkeypatch.setattr(links, "_dataset", dataset)
    return names


@pytest.fixture
def by_library(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Contents]:
    """Lists a file of which every dataset is opened."""

    def listed_so(path: Path) -> Contents:
        with monkeypatch.context() as patch:
            patch.setattr(Headers, "read", lambda *_: None)
            return listed(path)

    return listed_so


def write(group: h5py.Group, n: int) -> int:
    """Write a dataset of each way in which data lies in a file, and return how many."""
    made = {
        "contiguous": group.create_dataset(
            f"contiguous{n}", data=np.arange(n + 2.0), track_order="ordered" in group.name
        ),
        "large": group.create_dataset(f"large{n}", data=np.zeros((n + 1, 3, 4), "u1")),
        "text": group.create_dataset(f"text{n}", data=["a", "bc"], dtype=h5py.string_dtype()),
        "scalar": group.create_dataset(f"scalar{n}", data=np.int64(n)),
        "fields": group.create_dataset(f"fields{n}", data=np.zeros(n + 1, "i4,S5")),
        "unwritten": group.create_dataset(f"unwritten{n}", shape=(n + 3,), dtype="f4"),
        "empty": group.create_dataset(f"empty{n}", shape=(0,), dtype="i2"),
        "null": group.create_dataset(f"null{n}", data=h5py.Empty("f4")),
        "gzip": group.create_dataset(
            f"gzip{n}", data=np.arange(40.0), chunks=(4,), compression="gzip"
        ),
        "growing": group.create_dataset(
            f"growing{n}", data=np.arange(9), chunks=(5,), maxshape=(None,)
        ),
        "many": group.create_dataset(f"many{n}", data=np.arange(300), chunks=(1,)),
        "sparse": group.create_dataset(f"sparse{n}", shape=(90,), dtype="i4", chunks=(9,)),
        "references": group.create_dataset(
            f"references{n}", data=[group.ref], dtype=h5py.ref_dtype
        ),
        "deep": group.create_dataset(f"deep{n}", data=np.zeros((1,) * 20)),
    }
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((3,))
    low = h5py.h5d.create(group.id, b"compact%d" % n, h5py.h5t.NATIVE_INT16, space, dcpl=compact)
    made["compact"] = h5py.Dataset(low)
    unknown = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    unknown.set_chunk((4,))
    unknown.set_filter(32099, h5py.h5z.FLAG_OPTIONAL, (1,))
    space, double = h5py.h5s.create_simple((40,)), h5py.h5t.NATIVE_DOUBLE
    low = h5py.h5d.create(group.id, b"unknown%d" % n, double, space, dcpl=unknown)
    made["unknown"] = h5py.Dataset(low)
    made["plain"] = group.create_dataset(f"plain{n}", shape=(40,), chunks=(4,), dtype="f8")
    made["dimension"] = group.create_dataset(f"dimension{n}", shape=(n + 1,), dtype="f4")
    made["dimension"].make_scale("This is a netCDF dimension but not a netCDF variable")
    for name, dataset in made.items():
        # Few are in the header and its continuations, more than 8 may be elsewhere.
        for k in range({"contiguous": 2 * n, "gzip": 5 * n, "unwritten": n}.get(name, 0)):
            dataset.attrs[f"attribute{k}"] = "x" * 40
    return len(made)


@pytest.mark.parametrize("form", FORMS)
def test_headers_say_what_the_library_says(
    tmp_path: Path, form: str, by_library: Callable[[Path], Contents], opened: list[bytes]
) -> None:
    with h5py.File(tmp_path / "x.h5", "w", **FORMS[form]) as file:
        for n in range(4):
            count = write(file.create_group(f"{form}{n}"), n)
        file["type"] = np.dtype("f4")
        for n in range(3):
            file.create_dataset(f"typed{n}", (3,), file["type"])
            file[f"second{n}"], file[f"soft{n}"] = (
                file[f"{form}1/large1"],
                h5py.SoftLink(f"/{form}1/large1"),
            )
    expected = by_library(tmp_path / "x.h5")
    opened.clear()
    assert listed(tmp_path / "x.h5") == expected
    assert len(expected.dimensions) == 4
    assert count == 18 and len(expected.rows) > 50 and len(expected.refused) == 17
    known = {f"{name}3".encode() for name in ("contiguous", "large", "scalar", "fields", "compact")}
    if "libver" not in FORMS[form]:  # else their chunks have an index of another kind
        known |= {b"gzip3", b"growing3"}
    assert not known & set(opened)


def test_every_kind_is_listed_as_the_library_has_it(
    tmp_path: Path, by_library: Callable[[Path], Contents]
) -> None:
    hdf5files.write(tmp_path / "a.h5")
    hdf5files.write_refused(tmp_path / "b.h5", tmp_path / "outside.h5")
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "r+") as file:
            for child in list(file):
                if isinstance(file.get(child, getlink=True), h5py.HardLink):
                    file.copy(child, f"again-{child}")
        assert listed(tmp_path / name) == by_library(tmp_path / name)


def test_datasets_of_one_kind_are_opened_once(tmp_path: Path, opened: list[bytes]) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for n in range(50):
            file[f"g{n % 5}/d{n}"] = np.arange(n + 1)
    assert len(listed(tmp_path / "x.h5").rows) == 50
    assert opened == [b"g0", b"d0"]


def test_no_header_is_believed_while_a_writer_has_the_file_open(
    tmp_path: Path, opened: list[bytes]
) -> None:
    with h5py.File(tmp_path / "x.h5", "w", libver="latest", locking=False) as file:
        for n in range(4):
            file[f"d{n}"] = np.arange(3)
        file.swmr_mode = True
        assert len(listed(tmp_path / "x.h5").rows) == len(opened) == 4


@pytest.fixture(params=["old", "new and ordered"])
def headers(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, Headers, int]]:
    """A file with a header that has all its messages, and its address."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", **FORMS[request.param]) as file:
        made = file.create_dataset("x", data=np.arange(30), chunks=(4,), compression="gzip")
        for n in range(4):
            made.attrs[f"attribute{n}"] = "x" * 100
        address = h5py.h5o.get_info(made.id).addr
    fd = path.open("r+b")
    with h5py.File(path) as file:
        found = Headers(fd.fileno(), file)
    yield path, found, address
    fd.close()


def test_damaged_header_is_left_to_the_library(headers: tuple[Path, Headers, int]) -> None:
    path, found, address = headers
    rng, content = random.Random(1), path.read_bytes()
    results = set()
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 2, 40))):
            damaged[address + rng.randrange(FIRST)] = rng.choice(
                (0, 1, 16, 255, rng.randrange(256))
            )
        path.write_bytes(damaged)
        results.add(found.read(address) is None)
    assert True in results
    for cut in range(0, len(content), 499):
        path.write_bytes(content[:cut])
        found.read(address)
    assert found.read(2**64 - 1) is None


def test_header_whose_parts_lead_in_a_circle_is_left_to_the_library(
    tmp_path: Path, headers: tuple[Path, Headers, int]
) -> None:
    path, found, _ = headers
    part = b"\x10\0\x10\0\0\0\0\0" + (16).to_bytes(8, "little") + (24).to_bytes(8, "little")
    path.write_bytes(bytes((1, 0, 1, 0, 1, 0, 0, 0, 24)) + bytes(7) + part)
    assert found.read(0) is None
    path.write_bytes(bytes((1, 0, 1, 0, 1, 0, 0, 0)) + MOST.to_bytes(8, "little") + part)
    assert found.read(0) is None
