"""Fences of leases: they only rise, and none is used up by a claim."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leasing import TTL, giving_back, request

from caterva2.broker.leases import Registry
from caterva2.broker.record import Record
from caterva2.errors import BadMessage
from caterva2.limits.constants import FENCE, FENCE_LEAP
from caterva2.names import RootName
from tests.thoroughness import examples


@pytest.fixture
def registry() -> Registry:
    return Registry("b1", (), 0.0)


def test_every_grant_raises_the_fence(registry: Registry) -> None:
    for fence in range(1, 5):
        granted, _ = registry.register(request(inst=f"i{fence}"), b"p", 0)
        assert granted.fence == fence
        registry.unregister(giving_back("foo", f"i{fence}", fence))


def test_a_publisher_may_remember_a_higher_fence(registry: Registry) -> None:
    assert registry.register(request(fence=41), b"p", 0)[0].fence == 42


def test_a_renewal_never_lowers_the_fence_that_its_holder_remembers(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    restarted = Registry("b2", registry.dump(), 0)
    granted, _ = restarted.register(request(fence=7), b"p", 1)
    assert granted.fence >= 7


@settings(max_examples=examples(200))
@given(st.lists(st.tuples(st.sampled_from("grcx"), st.sampled_from("ab")), max_size=25))
def test_the_fence_never_goes_back(steps: list[tuple[str, str]]) -> None:
    registry, best = Registry("b0", (), 0.0), {"a": 0, "b": 0}
    now = 0.0
    for count, (action, root) in enumerate(steps):
        if action == "g":
            now += 2 * TTL
            registry.expire(now)
            fence = registry.register(request(root, f"i{count}"), b"p" + root.encode(), now)[
                0
            ].fence
            assert fence > best[root]
            best[root] = fence
        elif action == "r":
            registry = Registry(f"b{count}", registry.dump(), now)
        elif action == "c":
            held = {i.root: i for part in registry.snapshot(1) for i in part.roots}.get(
                RootName(root)
            )
            if held is not None:
                registry.unregister(giving_back(root, held.inst, held.fence))
        else:
            now += 2 * TTL
            registry.expire(now)


def test_fences_that_are_used_up_are_told_with_what_helps() -> None:
    used_up = Record(root=RootName("foo"), fence=FENCE - 1)
    registry = Registry("b1", [used_up], 0.0)
    with pytest.raises(BadMessage, match=rf"^fence {FENCE - 1} is too large: .*--forget foo$"):
        registry.register(request(), b"p", 0)
    last = Registry("b1", [Record(root=RootName("foo"), fence=FENCE - 2)], 0.0)
    assert last.register(request(), b"p", 0)[0].fence == FENCE - 1


def test_a_claim_is_believed_up_to_a_leap(registry: Registry) -> None:
    assert registry.register(request("a", fence=FENCE_LEAP), b"p", 0)[0].fence == FENCE_LEAP + 1
    assert registry.register(request("b", fence=FENCE_LEAP + 1), b"q", 0)[0].fence == 1
