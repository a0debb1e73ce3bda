"""Imports of files that are cut off, forged or endless: one line, and nothing half made."""

from __future__ import annotations

import os
import resource
import signal
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import zarr

from caterva2.cli.cat2import import main as cat2import
from caterva2.conversion.importer import import_file
from caterva2.conversion.zarr.exporter import export_store
from caterva2.conversion.zarr.importer import import_store
from caterva2.errors import SourceCorrupt

NOISE = np.random.default_rng(0).integers(0, 2**62, 200_000)


def hdf5(place: Path) -> Path:
    with h5py.File(place / "a.h5", "w") as file:
        file.create_dataset("x", data=NOISE, chunks=(100_000,), compression="gzip")
    return place / "a.h5"


def netcdf(place: Path) -> Path:
    with netCDF4.Dataset(place / "a.nc", "w") as file:
        file.createDimension("x", len(NOISE))
        file.createVariable("x", "i8", ("x",))[:] = NOISE
    return place / "a.nc"


def store(place: Path) -> Path:
    group = zarr.open_group(place / "a.zarr", zarr_format=3)
    group.create_array("x", data=NOISE, chunks=(100_000,))
    return place / "a.zarr"


def zipped(place: Path) -> Path:
    (place / "made").mkdir()
    source = store(place / "made")
    with zipfile.ZipFile(place / "a.zip", "w") as made:
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            made.write(file, file.relative_to(source))
    return place / "a.zip"


Make = Callable[[Path], Path]
FILES: list[Any] = [hdf5, netcdf, zipped]
KINDS: list[Any] = [*FILES, store]


def failed(capsys: pytest.CaptureFixture[str], source: Path, target: Path) -> str:
    """The only line that a failed import prints; the target's directory is as before."""
    before = sorted(os.listdir(target.parent)) if target.parent.is_dir() else None
    assert cat2import([str(source), str(target)]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1), shown
    assert before is None or sorted(os.listdir(target.parent)) == before
    return shown.err


@pytest.fixture(autouse=True)
def handlers() -> Any:
    """The signal handlers of the test's own process stay."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("make", FILES)
def test_file_that_is_cut_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Make, share: float
) -> None:
    source = make(tmp_path)
    os.truncate(source, int(share * source.stat().st_size))
    assert source.name in failed(capsys, source, tmp_path / "d")


@pytest.mark.parametrize("make", FILES)
def test_file_of_which_only_the_signature_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Make
) -> None:
    source = make(tmp_path)
    noise = np.random.default_rng(1).bytes(100_000)
    source.write_bytes(source.read_bytes()[:8] + noise)
    assert source.name in failed(capsys, source, tmp_path / "d")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"zarr_format": 3}', b"\xff" * 100])
def test_store_whose_metadata_is_none_is_named(tmp_path: Path, text: bytes) -> None:
    source = store(tmp_path)
    (source / "x/zarr.json").write_bytes(text)
    [skipped] = import_store(source, tmp_path / "d").skipped
    assert skipped.path == "x"
    (source / "zarr.json").write_bytes(text)
    assert [skipped.path for skipped in import_store(source, tmp_path / "e").skipped] == ["/"]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("target", ["file/d", "/proc/sys/d", "no/such/d"])
def test_target_that_can_not_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Make, target: str
) -> None:
    (tmp_path / "file").write_text("")
    failed(capsys, make(tmp_path), tmp_path / target)


@pytest.mark.parametrize("make", KINDS)
def test_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Make) -> None:
    source, before = make(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
        assert "File too large" in failed(capsys, source, tmp_path / "d")
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        (import_store if make in (store, zipped) else import_file)(source, tmp_path / "d")
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
        with pytest.raises(OSError, match="File too large"):
            export_store(tmp_path / "d", tmp_path / "b.zarr")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, kept)
    assert not [name for name in os.listdir(tmp_path) if "partial" in name or "b.zarr" in name]


@pytest.mark.parametrize("work", [import_store, export_store])
def test_interrupted_work_leaves_nothing(tmp_path: Path, work: Callable[..., Any]) -> None:
    source = store(tmp_path)
    if work is export_store:
        import_store(source, tmp_path / "d")
        source = tmp_path / "d"
    before = sorted(os.listdir(tmp_path))

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(source, tmp_path / "target.zarr", progress=interrupt)
    assert sorted(os.listdir(tmp_path)) == before


def test_zip_with_lying_sizes_gives_no_wrong_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = zipped(tmp_path)
    data = bytearray(source.read_bytes())
    at = data.index(b"PK\x01\x02")  # the first member of the directory: a chunk
    (size,) = struct.unpack_from("<I", data, at + 24)
    for lie in (size + 1, 2**31, 0):
        struct.pack_into("<II", data, at + 20, lie, lie)
        source.write_bytes(data)
        assert cat2import([str(source), str(tmp_path / f"d{lie}")]) == 1
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        assert not (tmp_path / f"d{lie}/x.b2nd").exists()


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"] = 1
        file["g/up"] = file["/"]
        file["soft"], file["back"] = h5py.SoftLink("/back"), h5py.SoftLink("/soft")
    report = import_file(tmp_path / "a.h5", tmp_path / "d")
    assert {skipped.path for skipped in report.skipped} == {"g/up", "soft", "back"}
    source = store(tmp_path)
    (source / "up").symlink_to("..")
    (source / "self").symlink_to("self")
    skipped = {one.path for one in import_store(source, tmp_path / "e").skipped}
    assert skipped == {"up", "self"}


def test_zip_that_is_replaced_while_it_is_imported(tmp_path: Path) -> None:
    source = zipped(tmp_path)

    def replace(done: int, total: int | None) -> None:
        if done:
            (tmp_path / "new").write_bytes(b"PK" * 1000)
            (tmp_path / "new").replace(source)

    with pytest.raises(SourceCorrupt, match=r"a\.zip"):
        import_store(source, tmp_path / "d", progress=replace)
    assert "d" not in os.listdir(tmp_path)
