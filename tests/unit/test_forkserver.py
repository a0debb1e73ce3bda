"""Forked services: processes like executed ones, which end with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caterva2.cli.children import Child
from caterva2.errors import StartError
from tests import forking, forkserver

SUBSCRIBER = ["--broker", "", "--http", "127.0.0.1:0"]
BROKER = [text for name in ("endpoint", "xsub", "xpub") for text in (f"--{name}", "127.0.0.1:0")]
"""A service that starts quickly where nothing is imported ahead."""


@pytest.fixture
def subscriber(tmp_path: Path) -> Iterator[Child]:
    """A running subscriber with its files below its own directory."""
    child = Child(
        "cat2sub", [*SUBSCRIBER, "--statedir", "s"], tmp_path / "log",
        cwd=tmp_path, spawn=forkserver.spawn,
    )  # fmt: skip
    try:
        child.ready()
        yield child
    finally:
        child.kill()


def gone(pid: int) -> bool:
    """Wait until a process, which need not be a child of this one, has ended."""
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_process_has_its_own_session_directory_and_exit_code(
    subscriber: Child, tmp_path: Path
) -> None:
    pid = subscriber.process.pid
    assert os.getsid(pid) == pid != os.getsid(0)
    assert (tmp_path / "s").is_dir()
    assert subscriber.stop() == 0
    assert gone(pid)


def test_killed_process_tells_the_signal(subscriber: Child) -> None:
    subscriber.kill()
    assert subscriber.process.returncode == -signal.SIGKILL


def test_process_gets_arguments_environment_and_input(tmp_path: Path) -> None:
    where = "--statedir", str(tmp_path / "s")
    done = forkserver.run("cat2sub", *where, "--add-user", "a@b.c", stdin="a-long-password\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "added a@b.c\n", "")
    given = {"CATERVA2_URL": "http://127.0.0.1:1/", "CATERVA2_USERNAME": ""}
    done = forkserver.run("cat2cli", "roots", cwd=tmp_path, **given)
    assert (done.returncode, done.stdout) == (1, "")
    assert "http://127.0.0.1:1 can't be reached" in done.stderr
    assert forkserver.run("cat2pub", "--nonsense").returncode == 2


def test_last_words_of_a_process_that_can_not_start(tmp_path: Path) -> None:
    given = ["--endpoint", "127.0.0.1:0", "x", str(tmp_path / "nothing"), "--statedir", "s"]
    child = Child("cat2pub", given, tmp_path / "log", cwd=tmp_path, spawn=forkserver.spawn)
    with pytest.raises(StartError, match="nothing does not exist"):
        child.ready()
    assert child.stop() == 2


def test_process_writes_its_stacks_when_asked(subscriber: Child) -> None:
    subscriber.process.send_signal(forking.STACKS)
    for _ in range(1000):
        if "Current thread" in subscriber.log.read_text():
            break
        time.sleep(0.01)
    assert "runtime/service.py" in subscriber.log.read_text()


@pytest.mark.parametrize("end", ["raise SystemExit", "os.kill(os.getpid(), 9)"])
def test_all_ends_with_the_process_that_started_it(tmp_path: Path, end: str) -> None:
    program = f"""
import os
from pathlib import Path
from caterva2.cli.children import Child
from tests import forking, forkserver
forkserver.adopt(forkserver.start(1, forking.BARE))
child = Child("cat2bro", {BROKER}, Path("log"), cwd=Path.cwd(), spawn=forkserver.spawn)
child.ready()
print(child.process.pid, flush=True)
{end}
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        timeout=60, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert gone(int(done.stdout))


def test_process_ends_with_the_fork_server(tmp_path: Path) -> None:
    (server,) = forkserver.start(1, forking.BARE)
    child = Child("cat2bro", BROKER, tmp_path / "log", cwd=tmp_path, spawn=server.spawn)
    child.ready()
    os.kill(server.pid, signal.SIGKILL)
    assert gone(child.process.pid)
    with pytest.raises(RuntimeError, match="has ended"):
        child.process.wait(10)
    server.close()
    assert child.process.stdout is not None
    child.process.stdout.close()
