"""A disk that fails at any step of a backup, a restoration or an upgrade: all or nothing."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from caterva2.accounts.store import AccountStore
from caterva2.errors import CatervaError, StartError
from caterva2.runtime.statedir import StateDir
from caterva2.state import backup
from caterva2.state.kinds import BROKER
from caterva2.state.restore import restore

STEPS = ("open", "pwrite", "ftruncate", "utime", "mkdir", "fsync", "rename", "replace", "write")
STATES = Path(__file__).parents[1] / "fault/states"


class FailingDisk:
    """Fails at one of the calls that change a disk, counted from the first."""

    def __init__(self, fails_at: int) -> None:
        self.left = fails_at
        self._real = {name: getattr(os, name) for name in STEPS}

    def _call(self, name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if name != "open" or (
                len(args) > 1 and isinstance(args[1], int) and args[1] & os.O_CREAT
            ):
                self.left -= 1
                if self.left == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))
            return self._real[name](*args, **kwargs)

        return call

    @contextmanager
    def installed(self) -> Iterator[None]:
        try:
            for name in STEPS:
                setattr(os, name, self._call(name))
            yield
        finally:
            for name, real in self._real.items():
                setattr(os, name, real)


def failures(work: Callable[[], object], check: Callable[[bool], None]) -> int:
    """Do work on a disk that fails at the first call, the second, and so on; return how many."""
    for n in range(1, 1000):
        disk = FailingDisk(n)
        failed = False
        with disk.installed():
            try:
                work()
            except (OSError, CatervaError):
                failed = True
        if disk.left > 0:
            return n - 1
        check(failed)
    raise AssertionError("it has no end")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    statedir = tmp_path / "state"
    (statedir / "deep").mkdir(parents=True)
    for name in ("key", "deep/file"):
        (statedir / name).write_bytes(b"content")
    return statedir


def everything(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else b""
        for path in directory.rglob("*")
    }


def test_a_backup_is_whole_or_not_there(state: Path, tmp_path: Path) -> None:
    target, before = tmp_path / "backup", everything(state)

    def check(failed: bool) -> None:
        assert everything(state) == before
        assert failed or target.exists()
        if target.exists():  # what failed did not matter, or was the flush of its directory
            restore(target, tmp_path / "again", "cat2bro")
            assert everything(tmp_path / "again") == before
            shutil.rmtree(tmp_path / "again")
            shutil.rmtree(target)
        assert [path.name for path in tmp_path.iterdir()] == ["state"]

    assert failures(lambda: backup.make(BROKER, state, target), check) > 15


@pytest.mark.parametrize("force", [False, True])
def test_a_state_directory_is_restored_as_a_whole_or_stays(
    state: Path, tmp_path: Path, force: bool
) -> None:
    made, target, before = tmp_path / "backup", tmp_path / "target", everything(state)
    backup.make(BROKER, state, made)
    old = {"old": b"of before"} if force else {}

    def reset() -> None:
        for path in (target, target.with_name("target.before")):
            shutil.rmtree(path, ignore_errors=True)
        if force:
            target.mkdir()
            (target / "old").write_bytes(old["old"])

    def check(failed: bool) -> None:
        kept = target.with_name("target.before")
        now = everything(target) if target.exists() else {}
        now.pop("lock", None)
        if now == before:  # what failed did not matter, or was the flush of its directory
            assert not force or old.items() <= everything(kept).items()
        else:
            assert failed
            assert now == old
        assert not (tmp_path / ".target.partial").exists()
        reset()

    reset()
    assert failures(lambda: restore(made, target, "cat2bro", force), check) > 10


def test_no_service_starts_with_half_of_what_is_restored_into_a_mount_point(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, target = tmp_path / "backup", tmp_path / "target"
    backup.make(BROKER, state, made)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == target)
    halves = 0

    def check(failed: bool) -> None:
        nonlocal halves
        now = everything(target)
        try:
            StateDir(target).close()
        except StartError as error:
            assert "restore the backup again" in str(error)
            halves += 1
            shutil.rmtree(target)
        else:
            now.pop("lock", None)
            assert now == everything(state) or (failed and now == {})
            if now:
                shutil.rmtree(target)
        target.mkdir(exist_ok=True)

    target.mkdir()
    assert failures(lambda: restore(made, target, "cat2bro"), check) > 10
    assert halves > 1
    assert {name for name in everything(target) if name != "lock"} == everything(state).keys()


def test_accounts_are_upgraded_as_a_whole_or_stay_as_they_are(tmp_path: Path) -> None:
    with tarfile.open(min(STATES.glob("*.tar.xz"))) as archive:
        archive.extract("sub/accounts.sqlite", tmp_path, filter="data")
    original = tmp_path / "sub/accounts.sqlite"
    refused = 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in range(0, 65_536, 8_192):
        path = shutil.copy(original, tmp_path / f"{size}.sqlite")
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            with suppress(StartError):
                AccountStore(path).close()
                refused -= 1
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with closing(AccountStore(path)) as store:
            assert len(store.users()) == 2
    assert 0 < refused < 8
