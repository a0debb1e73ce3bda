"""Options of a subscriber."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from caterva2.config import SubscriberSettings
from caterva2.names import RootName
from caterva2.subscriber.publishers.preferences import Preferences
from caterva2.subscriber.trust.options import TrustOptions, named
from caterva2.subscriber.trust.pins import FILE as SIGNERS
from caterva2.subscriber.trust.pins import Pins
from caterva2.subscriber.upstream.options import UpstreamOptions
from caterva2.wire.auth.service_keys import KeyOptions
from caterva2.wire.networks import ANYWHERE, Networks
from caterva2.wire.sockets import Address


@dataclass(frozen=True, slots=True)
class SubscriberOptions:
    """The broker to follow, if any, the state directory, the quota in bytes (0: none), and keys.

    ``quotas`` are those of each user's @personal, and of @public and @shared each; ``publishers``
    says where these may be, ``pinned`` which keys they must have, ``preferences`` which of a
    publisher and its mirrors are preferred; ``upstream`` is another subscriber whose roots are
    taken; ``trust`` says what has to be signed.
    """

    broker: Address | None
    statedir: Path
    quota: int = 0
    keys: KeyOptions = field(default_factory=KeyOptions)
    quotas: tuple[int, int] = (0, 0)
    publishers: Networks = ANYWHERE
    pinned: Mapping[RootName, frozenset[str]] = field(default_factory=dict)
    preferences: Preferences = field(default_factory=Preferences)
    upstream: UpstreamOptions | None = None
    trust: TrustOptions = field(default_factory=TrustOptions)

    @property
    def pins(self) -> Pins:
        """The keys with which origins sign, as they were saved."""
        return Pins(self.statedir.absolute() / SIGNERS, self.trust)

    @property
    def unreached(self) -> str:
        """Why no root is known yet."""
        upstream = f"no upstream was reached yet at {self.upstream.url}" if self.upstream else ""
        broker = f"no broker was reached yet at {self.broker}" if self.broker else ""
        return ", and ".join(filter(None, (broker, upstream)))

    def located(self, endpoint: str) -> str:
        """Return an endpoint of a publisher with an address in place of a name, if it may be."""
        near = self.broker is not None and self.broker.is_loopback
        return self.publishers.located(endpoint, near)


def pinned(settings: SubscriberSettings) -> dict[RootName, frozenset[str]]:
    """Return the keys that publishers must have by their roots; `ConfigError` for what is none."""
    return named(settings.publisher_keys, "publisher_keys")
