"""Parts of isolated sources: which are open, what is damaged, and who reads alone."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from caterva2.errors import DeadlineExceeded
from caterva2.isolation.damage import WHOLE, Damage
from caterva2.isolation.open_sources import OpenSources
from caterva2.isolation.shared_lock import SharedLock
from caterva2.sources.memory import MemorySource
from tests.conftest import eventually


def test_source_in_use_is_closed_when_it_is_left() -> None:
    closed: list[str] = []

    class Noted(MemorySource):
        def __init__(self, below: str) -> None:
            super().__init__()
            self.below = below

        def close(self) -> None:
            closed.append(self.below)

    sources = OpenSources(Noted, 2)
    with sources.using("a") as first, sources.using("a") as second:
        assert first is second
        for name in "bcd":
            with sources.using(name):
                pass
        assert closed == ["b"]
        sources.forget("a")
        assert closed == ["b"]
    assert closed == ["b", "a"]
    sources.forget("c")
    sources.forget("unknown")
    assert closed == ["b", "a", "c"]


def test_damage_is_of_a_version_and_tried_again_later() -> None:
    damage = Damage(retry=10)
    damage.add((1,), "a", "crashed", now=0)
    assert damage.of((1,), "a", 9) == "crashed"
    assert damage.of((1,), "b", 9) == ""
    assert damage.of((2,), "a", 9) == ""
    assert damage.of((1,), "a", 11) == ""
    assert damage.subjects((1,), 9) == {"a": "crashed"}
    damage.add((1,), "a", "crashed", now=11)
    assert damage.of((1,), "a", 30) == "crashed"
    damage.add((1,), WHOLE, "hung", now=11)
    assert damage.of((1,), "b", 12) == "hung"
    damage.add((2,), "b", "hung", now=12)
    assert damage.of((1,), "a", 13) == ""


def test_one_alone_holds_the_lock_before_others_share_it() -> None:
    lock, order = SharedLock(), []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with lock.together():
            inside.set()
            leave.wait(10)
            order.append("first")

    def alone() -> None:
        with lock.alone():
            order.append("alone")

    def later() -> None:
        with lock.together():
            order.append("later")

    threads = [threading.Thread(target=work) for work in (first, alone, later)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    eventually(lambda: lock._waiting)
    threads[2].start()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "alone", "later"]


@pytest.mark.parametrize("waits", ["together", "alone"])
def test_a_wait_for_the_lock_ends_at_its_deadline(waits: str) -> None:
    lock, inside, leave = SharedLock(), threading.Event(), threading.Event()

    def first() -> None:
        with lock.alone():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    try:
        with pytest.raises(DeadlineExceeded, match="other reads"):
            getattr(lock, waits)(time.monotonic() + 0.01).__enter__()
    finally:
        leave.set()
        thread.join(10)
    with lock.together(time.monotonic() + 10), lock.together(time.monotonic() + 10):
        pass  # what gave up is waited for no more


def test_others_go_on_when_one_that_would_be_alone_gives_up() -> None:
    lock, entered = SharedLock(), threading.Event()

    def later() -> None:
        with lock.together():
            entered.set()

    def alone() -> None:
        with contextlib.suppress(DeadlineExceeded), lock.alone(time.monotonic() + 0.2):
            pass

    threads = [threading.Thread(target=work) for work in (alone, later)]
    with lock.together():
        threads[0].start()
        eventually(lambda: lock._waiting)
        threads[1].start()
        assert entered.wait(10)
    for thread in threads:
        thread.join(10)
