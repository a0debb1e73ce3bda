"""Fair shares: a budget of which no one key can take everything."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from typing import Generic, TypeVar

from caterva2.runtime.budget import Budget, Hold

K = TypeVar("K", bound=Hashable)


class FairShares(Generic[K]):
    """A budget with a smaller one within it for each key.

    When some keys have used up the total, every other key still gets one request at a time. Idle
    shares are dropped when another key needs one.

    Parameters
    ----------
    total : int
        Of all keys together.
    each : int
        Of one key.
    """

    def __init__(self, total: int, each: int) -> None:
        self._total = Budget(total)
        self._each = each
        self._shares: dict[K, Budget] = {}

    def __len__(self) -> int:
        """Return the number of keys that hold something or wait for it."""
        return sum(not share.idle for share in self._shares.values())

    @property
    def used(self) -> int:
        """What all keys hold together."""
        return self._total.used

    async def take(self, key: K, size: int, timeout: float | None) -> Hold:
        """Wait for room in the total and in the share of a key, and take it.

        Raises
        ------
        Busy
            If there is none within ``timeout`` seconds; None waits without a limit.
        """
        share = self._shares.get(key)
        if share is None:
            for idle in [other for other, share in self._shares.items() if share.idle]:
                del self._shares[idle]
            share = self._shares[key] = Budget(self._each, within=self._total)
        return await share.take(size, timeout)


def share_of(host: str) -> str:
    """Return whose share a connection counts against: a host, or an IPv6 network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host  # a Unix socket, or what a proxy wrote
    if address.version == 4:
        return host
    if mapped := getattr(address, "ipv4_mapped", None):
        return str(mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
