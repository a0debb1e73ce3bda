"""Shares of a budget: what one key may take, and what is left for others."""

from __future__ import annotations

import asyncio

import pytest

from caterva2.errors import Busy
from caterva2.runtime.budget import Hold
from caterva2.runtime.fair_shares import FairShares, share_of


async def refused(shares: FairShares[str], key: str, size: int) -> bool:
    try:
        (await shares.take(key, size, 0.001)).release()
    except Busy:
        return True
    return False


def test_a_key_takes_no_more_than_its_share() -> None:
    async def work() -> None:
        shares: FairShares[str] = FairShares(10, 4)
        hold = await shares.take("a", 3, 0)
        assert await refused(shares, "a", 2)
        assert not await refused(shares, "b", 2)
        hold.release()
        assert not await refused(shares, "a", 2)

    asyncio.run(work())


def test_when_the_total_is_used_up_each_other_key_gets_one_at_a_time() -> None:
    async def work() -> None:
        shares: FairShares[str] = FairShares(10, 5)
        held = [await shares.take(key, 5, 0) for key in "ab"]
        more = [await shares.take(key, 5, 0) for key in "cd"]
        assert [await refused(shares, key, 1) for key in "abcd"] == [True] * 4
        for hold in held + more:
            hold.release()
        assert len(shares) == 0

    asyncio.run(work())


def test_a_key_gets_no_second_request_when_the_total_is_used_up() -> None:
    """Though it has not used up its own share."""

    async def work() -> None:
        shares: FairShares[str] = FairShares(10, 5)
        held = [await shares.take(key, 5, 0) for key in "ab"]
        held.append(await shares.take("c", 1, 0))
        assert await refused(shares, "c", 1)
        held.pop(0).release()
        assert not await refused(shares, "c", 1)
        for hold in held:
            hold.release()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("host", "share"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("", ""),
        ("what a proxy wrote", "what a proxy wrote"),
    ],
)
def test_hosts_of_one_network_have_one_share(host: str, share: str) -> None:
    assert share_of(host) == share


def test_a_key_that_still_holds_something_gets_no_fresh_share() -> None:
    async def work() -> None:
        shares: FairShares[str] = FairShares(10, 4)
        first, second = await shares.take("a", 2, 0), await shares.take("a", 2, 0)
        first.release()
        assert not await refused(shares, "b", 1)
        assert await refused(shares, "a", 3)
        second.release()

    asyncio.run(work())


def test_idle_shares_are_dropped() -> None:
    async def work() -> None:
        shares: FairShares[int] = FairShares(10, 4)
        kept: Hold = await shares.take(-1, 1, 0)
        for key in range(1000):
            (await shares.take(key, 1, 0)).release()
        assert len(shares) == 1
        assert len(shares._shares) == 2
        kept.release()

    asyncio.run(work())


def test_a_wait_that_ends_leaves_nothing() -> None:
    async def work() -> None:
        shares: FairShares[str] = FairShares(10, 4)
        hold = await shares.take("a", 4, 0)
        waiting = asyncio.create_task(shares.take("a", 1, None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        hold.release()
        assert len(shares) == 0

    asyncio.run(work())
