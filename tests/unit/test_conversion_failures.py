"""Imports and exports that fail, in part or as a whole: named, and nothing half made is left."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blosc2
import h5py
import numpy as np
import pytest

from caterva2.cli.arguments import guarded
from caterva2.cli.children import Child
from caterva2.conversion.exporter import export_directory
from caterva2.conversion.importer import import_file
from caterva2.conversion.staged_output import staged_output
from caterva2.errors import StaleVersion
from tests import forkserver
from tests.conftest import run


def test_what_is_corrupt_is_skipped_by_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["good"] = np.arange(5)
        bad = file.create_dataset("bad", (10,), "i8", chunks=(5,), compression="gzip")
        bad.id.write_direct_chunk((0,), b"garbage" * 10)
    report = import_file(tmp_path / "a.h5", tmp_path / "d")
    assert [skipped.path for skipped in report.skipped] == ["bad"]
    assert sorted(os.listdir(tmp_path / "d")) == ["good.b2nd"]


@pytest.mark.parametrize("renames", [1, 2, 3])
@pytest.mark.parametrize("is_directory", [False, True], ids=["file", "directory"])
def test_what_is_to_be_replaced_outlives_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_directory: bool, renames: int
) -> None:
    """An interruption comes right after some rename, and later ones fail."""
    target = written(tmp_path / "target", "old", is_directory)
    rename, replace, count = os.rename, os.replace, itertools.count(1)

    def interrupted(done: Callable[..., None], *given: Any) -> None:
        number = next(count)
        if number > renames:
            raise OSError("no")
        done(*given)
        if number == renames:
            raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", functools.partial(interrupted, rename))
        broken.setattr(os, "replace", functools.partial(interrupted, replace))
        with (
            contextlib.suppress(KeyboardInterrupt, OSError),
            staged_output(target, True, tmp_path / "x", is_directory=is_directory) as new,
        ):
            written(new, "new", is_directory)
    kept = [target] if target.exists() else list(tmp_path.glob(".target.*.partial/old"))
    assert len(kept) == 1
    content = (kept[0] / "file" if is_directory else kept[0]).read_text()
    assert content == "old" or (kept == [target] and content == "new")


def written(path: Path, text: str, is_directory: bool) -> Path:
    if is_directory:
        path.mkdir()
    (path / "file" if is_directory else path).write_text(text)
    return path


def big(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 1000, 2_500_000)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=noise, chunks=(10_000,), compression="gzip")


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """Let no file of what is started become larger than this, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("command", ["cat2import", "cat2export"])
@pytest.mark.parametrize("existing", [pytest.param(False, marks=pytest.mark.slow), True])
def test_full_disk_leaves_nothing_half_made(tmp_path: Path, command: str, existing: bool) -> None:
    big(tmp_path / "a.h5")
    import_file(tmp_path / "a.h5", tmp_path / "d")
    source = {"cat2import": "a.h5", "cat2export": "d"}[command]
    if existing:
        assert run(command, source, "target", cwd=tmp_path).returncode == 0
    before = sorted(os.listdir(tmp_path))
    with small_files():
        done = run(command, source, "target", "--force", cwd=tmp_path)
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1, done.stderr
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("work", "source"), [(import_file, "a.h5"), (export_directory, "d")], ids=["import", "export"]
)
def test_interrupted_command_leaves_nothing_half_made(
    tmp_path: Path, number: int, work: Callable[..., Any], source: str
) -> None:
    big(tmp_path / "a.h5")
    import_file(tmp_path / "a.h5", tmp_path / "d")
    module = {"a.h5": "cat2import", "d": "cat2export"}[source]
    before = sorted(os.listdir(tmp_path))
    for n in range(5):
        code = interrupted(tmp_path, [module, source, f"target{n}"], number)
        if code:
            break
        before = sorted([*before, f"target{n}"])  # it was done before the signal came
    assert code == 130
    assert sorted(os.listdir(tmp_path)) == before


def test_interruption_within_a_lock_of_h5py_ends_the_command_as_any_other() -> None:
    def work() -> int:
        raise SystemError("a result with an exception set") from KeyboardInterrupt()

    assert guarded("cat2import", work) == 130


def interrupted(directory: Path, command: list[str], number: int) -> int:
    """The exit code of a command that is sent a signal once it has begun to write."""
    child = Child(
        command[0], command[1:], directory.parent / "log", cwd=directory, spawn=forkserver.spawn
    )
    while child.process.poll() is None and not partial(directory):
        time.sleep(0.001)
    child.process.send_signal(number)
    return child.wait()


def partial(directory: Path) -> bool:
    return any(name.endswith(".partial") for name in os.listdir(directory))


def test_file_that_changes_while_it_is_imported_gives_no_directory(tmp_path: Path) -> None:
    big(tmp_path / "a.h5")
    changed = threading.Event()

    def change(done: int, total: int | None) -> None:
        if done and not changed.is_set():
            changed.set()
            os.utime(tmp_path / "a.h5")

    with pytest.raises(StaleVersion):
        import_file(tmp_path / "a.h5", tmp_path / "d", progress=change)
    assert os.listdir(tmp_path) == ["a.h5"]


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    big(tmp_path / "a.h5")
    for work, source, target in (
        (import_file, "a.h5", "d"), (export_directory, "d", "b.h5")
    ):  # fmt: skip
        steps: list[tuple[int, int | None]] = []
        work(tmp_path / source, tmp_path / target, progress=lambda *step, to=steps: to.append(step))
        assert steps == sorted(steps, key=lambda step: step[0])
        assert steps[-1][0] == steps[-1][1]


def test_file_that_is_cut_off_gives_one_line_and_no_directory(tmp_path: Path) -> None:
    big(tmp_path / "a.h5")
    with (tmp_path / "a.h5").open("r+b") as file:
        file.truncate(100_000)
    done = run("cat2import", "a.h5", "d", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "a.h5" in done.stderr
    assert os.listdir(tmp_path) == ["a.h5"]


def test_file_that_another_program_has_locked_is_imported(tmp_path: Path) -> None:
    big(tmp_path / "a.h5")
    with (tmp_path / "a.h5").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            h5py.File(tmp_path / "a.h5", locking=True)
        assert import_file(tmp_path / "a.h5", tmp_path / "d").skipped == []


def test_array_that_is_damaged_is_skipped_by_name(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("bad", "good"):
        noise = np.random.default_rng(0).random(1000)
        blosc2.asarray(noise, chunks=(100,), urlpath=str(tmp_path / "d" / f"{name}.b2nd"))
    with (tmp_path / "d" / "bad.b2nd").open("r+b") as file:
        file.truncate(3000)
    report = export_directory(tmp_path / "d", tmp_path / "a.h5")
    assert [skipped.path for skipped in report.skipped] == ["bad.b2nd"]
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file) == ["good"]
