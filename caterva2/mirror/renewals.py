"""Renewal of the leases of mirrors: one request for all that are due at once."""

from __future__ import annotations

from caterva2.errors import BadMessage
from caterva2.limits import constants
from caterva2.names import RootName
from caterva2.runtime.single_flight import SingleFlight
from caterva2.wire import messages
from caterva2.wire.broker_link import BrokerLink


class Renewals:
    """Renews the leases that the mirrors of a process have at one broker.

    Each mirror asks by itself, and all do so at one tick: a request each would wake up the process
    some times for each root.

    Parameters
    ----------
    link : BrokerLink
    """

    def __init__(self, link: BrokerLink) -> None:
        self._link = link
        self._due: set[RootName] = set()
        self._flights: SingleFlight[int, frozenset[RootName]] = SingleFlight()
        self._known = True

    async def renew(self, lease: messages.Mirror) -> bool:
        """Renew a lease as it was requested; return whether the broker still had it."""
        if not self._known:
            return False
        due = self._due
        due.add(lease.root)
        return lease.root in await self._flights.run(id(due), lambda: self._send(due, lease))

    async def _send(self, due: set[RootName], first: messages.Mirror) -> frozenset[RootName]:
        # A task of its own, it begins when all that were woken up with the first have added theirs.
        self._due = set()
        roots, most, renewed = sorted(due), constants.RENEWED_ROOTS, set[RootName]()
        try:
            for start in range(0, len(roots), most):
                request = messages.Renew(
                    mirror=first.mirror, ttl_ms=first.ttl_ms,
                    roots=tuple(roots[start : start + most]),
                )  # fmt: skip
                renewed.update((await self._link.renew(request)).roots)
        except BadMessage:
            self._known = False  # to an older broker
        return frozenset(renewed)
