"""Parts of isolated sources: which are open, what is damaged, and who reads alone."""

from __future__ import annotations

import threading

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
