"""Mirrors of a process renew their leases by one request"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from caterva2.errors import BadMessage, DeadlineExceeded
from caterva2.limits import constants
from caterva2.mirror.renewals import Renewals
from caterva2.wire.messages import Mirror, Renew, Renewed


class Link:
    """A broker that has all leases but that of r1."""

    def __init__(self) -> None:
        self.requests: list[Renew] = []
        self.failing: Exception | None = None

    async def renew(self, request: Renew) -> Renewed:
        self.requests.append(request)
        await asyncio.sleep(0)
        if self.failing is not None:
            raise self.failing
        roots = tuple(root for root in request.roots if root != "r1")
        return Renewed(id=0, binst="b", roots=roots)


def lease(number: int) -> Mirror:
    given = {"inst": "i", "fence": 1, "mirror": "m", "endpoint": "tcp://h:1", "ttl_ms": 500}
    return Mirror.model_validate({"root": f"r{number}"} | given)


async def renewed(renewals: Renewals, *numbers: int) -> list[Any]:
    works = [renewals.renew(lease(n)) for n in numbers]
    return list(await asyncio.gather(*works, return_exceptions=True))


@pytest.fixture
def link() -> Link:
    return Link()


def test_those_that_are_due_together_send_one_request(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        renewals = Renewals(cast("Any", link))
        assert await renewed(renewals, 0, 1, 2) == [True, False, True]
        (request,) = link.requests
        assert (request.roots, request.mirror, request.ttl_ms) == (("r0", "r1", "r2"), "m", 500)
        assert await renewed(renewals, 2) == [True]
        monkeypatch.setattr(constants, "RENEWED_ROOTS", 2)
        assert await renewed(renewals, 5, 4, 3) == [True] * 3
        assert [one.roots for one in link.requests[1:]] == [("r2",), ("r3", "r4"), ("r5",)]

    asyncio.run(run())


def test_an_older_broker_is_not_asked_again(link: Link) -> None:
    async def run() -> None:
        renewals = Renewals(cast("Any", link))
        link.failing = DeadlineExceeded("no answer")
        assert await renewed(renewals, 0, 1) == [link.failing] * 2
        link.failing = BadMessage("type: unknown")
        assert await renewed(renewals, 0, 2) == [False, False]
        assert await renewed(renewals, 0, 2) == [False, False]
        assert len(link.requests) == 2

    asyncio.run(run())
