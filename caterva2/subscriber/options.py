"""Options of a subscriber."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from caterva2.wire.sockets import Address


@dataclass(frozen=True, slots=True)
class SubscriberOptions:
    """Which broker to follow, if any, the state directory, and the quota in bytes (0 for none)."""

    broker: Address | None
    statedir: Path
    quota: int = 0
