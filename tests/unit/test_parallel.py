"""Tests in several processes: each runs once and is reported, whatever becomes of its process"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHARED = """
import os
import pytest

@pytest.fixture(scope="module")
def owner(tmp_path_factory):
    with open(os.environ["MADE"], "a") as file:
        print("made", file=file)
    return os.getpid()

@pytest.mark.parametrize("number", range(5))
def test_shares(owner, number):
    assert owner == os.getpid()
"""
SHARED_BY_MODULES = {
    "__init__.py": "",
    "conftest.py": SHARED.replace("module", "package"),
    "test_one.py": "from package.conftest import test_shares",
    "test_two.py": "from package.conftest import test_shares",
}
ALONE = """
import os
import pytest

@pytest.mark.parametrize("number", range(8))
def test_passes(number, tmp_path):
    assert os.listdir(tmp_path) == []

def test_fails():
    print("said before")
    assert 1 == 2

def test_exits():
    os._exit(3)

def test_is_killed():
    os.kill(os.getpid(), 9)

@pytest.mark.skip(reason="not today")
def test_skips():
    pass
"""
WAITING = """
import os
import time
import pytest

@pytest.fixture
def open_thing():
    yield
    with open(os.environ["MADE"], "a") as file:
        print("closed", file=file)

@pytest.mark.parametrize("number", range(2))
def test_waits(number, open_thing):
    with open(os.environ["MADE"], "a") as file:
        print("waits", file=file)
    time.sleep(100)
"""


INTERRUPTED = """
import signal, sys, pytest
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.main())
"""
"""Runs tests that an interrupt ends, also where interrupts are ignored, as in a background job."""


def run(directory: Path, **modules: str) -> subprocess.Popen[str]:
    """Run the tests of some modules in two processes."""
    for name, text in modules.items():
        (directory / f"test_{name}.py").write_text(text)
    (directory / "pytest.ini").touch()
    plugins = "-p", "tests.parallel", "-p", "no:cacheprovider"
    path = Path(__file__).parents[2], os.environ.get("PYTHONPATH", "")
    return subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, *plugins, "-n", "2", str(directory)], text=True,
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, path)), "MADE": str(directory / "made"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
    )  # fmt: skip


def test_each_test_runs_once_and_is_reported(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    for name, text in SHARED_BY_MODULES.items():
        (tmp_path / "package" / name).write_text(text)
    with run(tmp_path, shared=SHARED, alone=ALONE) as running:
        shown, _ = running.communicate(timeout=60)
    assert re.search("3 failed, 23 passed, 1 skipped", shown), shown
    assert running.returncode == 1
    assert "its process ended with 3" in shown
    assert "its process ended with -9" in shown
    assert "said before" in shown
    assert re.search(r"the last process had tests for \d+\.\d s more", shown)
    assert (tmp_path / "made").read_text() == "made\n" * 2


@pytest.mark.slow
def test_fixtures_are_closed_when_tests_are_interrupted(tmp_path: Path) -> None:
    made = tmp_path / "made"
    with run(tmp_path, waiting=WAITING) as running:
        while running.poll() is None and not (made.exists() and made.read_text().count("\n") == 2):
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        shown, _ = running.communicate(timeout=60)
    assert running.returncode == 2, shown
    assert sorted(made.read_text().split()) == ["closed", "closed", "waits", "waits"]
