"""All services killed in any order, or standing still for a minute: they go on, with all data."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import caterva2
from tests.conftest import Stack, eventually, run
from tests.web.places import WORD

ANN = "ann@example.com"
NAMES = ("bro", "pub", "sub")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """All services, and a root of which a subscriber with accounts has a file."""
    stack = Stack(tmp_path)
    stack.secret = "keeps sessions"
    stack.add_user(ANN, WORD)
    write(tmp_path, "0.txt")
    try:
        for name in NAMES:
            start(stack, tmp_path, name)
        eventually(lambda: client(stack).subscribe("data") == "Ok")
        arrives(stack, "0.txt")
        yield stack
    finally:
        stack.stop_all()


def client(stack: Stack) -> caterva2.Client:
    return caterva2.Client(stack.url, auth=(ANN, WORD))


def start(stack: Stack, tmp_path: Path, name: str) -> None:
    if name == "bro":
        stack.start_broker()
    elif name == "pub":
        stack.start_publisher("data", tmp_path / "data")
    else:
        stack.start_subscriber()


def write(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / name).write_text(name)


def arrives(stack: Stack, name: str) -> None:
    """Wait until a file is listed, and read it."""
    eventually(lambda: name in client(stack).get_list("data"), 90)
    assert client(stack).fetch(f"data/{name}") == name.encode()


def test_services_that_are_killed_in_any_order_come_back_in_any_order(
    stack: Stack, tmp_path: Path
) -> None:
    rng = random.Random(7)
    for turn, order in enumerate(itertools.permutations(NAMES)):
        client(stack).upload(f"{turn}".encode(), f"@public/{turn}.txt")
        for name in order:
            time.sleep(rng.uniform(0, 0.3))  # the kills are apart
            stack.kill(name)
        for name in NAMES:
            given = ("data", str(tmp_path)) if name == "pub" else ()
            where = "--statedir", str(stack.directory / name), "--check"
            checked = run(f"cat2{name}", *where, *given)
            assert checked.returncode == 0, checked.stdout
        write(tmp_path, f"{turn + 1}.txt")
        for name in rng.sample(NAMES, 3):
            start(stack, tmp_path, name)
        arrives(stack, f"{turn + 1}.txt")
        assert client(stack).get_list("@public") == [f"{n}.txt" for n in range(turn + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_a_service_that_stands_still_for_a_minute_goes_on(
    stack: Stack, tmp_path: Path, name: str
) -> None:
    process = stack.children[name].process
    process.send_signal(signal.SIGSTOP)
    time.sleep(60)  # the fault itself: a laptop that sleeps, or a machine that is moved
    process.send_signal(signal.SIGCONT)
    write(tmp_path, "after.txt")
    arrives(stack, "after.txt")
    client(stack).upload(b"x", "@public/x.txt")
    assert client(stack).get_list("@public") == ["x.txt"]
