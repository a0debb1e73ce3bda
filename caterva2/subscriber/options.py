"""Options of a subscriber."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from caterva2.wire.auth.service_keys import KeyOptions
from caterva2.wire.networks import ANYWHERE, Networks
from caterva2.wire.sockets import Address


@dataclass(frozen=True, slots=True)
class SubscriberOptions:
    """The broker to follow, if any, the state directory, the quota in bytes (0: none), and keys.

    ``quotas`` are those of each user's @personal, and of @public and @shared each; ``publishers``
    says where these may be.
    """

    broker: Address | None
    statedir: Path
    quota: int = 0
    keys: KeyOptions = field(default_factory=KeyOptions)
    quotas: tuple[int, int] = (0, 0)
    publishers: Networks = ANYWHERE

    def located(self, endpoint: str) -> str:
        """Return an endpoint of a publisher with an address in place of a name, if it may be."""
        near = self.broker is not None and self.broker.is_loopback
        return self.publishers.located(endpoint, near)
