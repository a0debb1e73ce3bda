"""What publishers send to a registry of leases."""

from __future__ import annotations

from typing import Any

from caterva2.broker.leases import Registry
from caterva2.limits import DEFAULTS
from caterva2.names import RootName
from caterva2.wire.messages import (
    Register,
    RootBeat,
    Unregister,
)

TTL = DEFAULTS.broker.lease_ttl


def request(root: str = "foo", inst: str = "i1", **fields: Any) -> Register:
    defaults: dict[str, Any] = {"fence": 0, "endpoints": ("tcp://127.0.0.1:1",)}
    return Register.model_validate({"id": 5, "root": root, "inst": inst} | defaults | fields)


def giving_back(root: str, inst: str, fence: int) -> Unregister:
    return Unregister(root=RootName(root), inst=inst, fence=fence)


def beat(fence: int, inst: str = "i1", root: str = "foo") -> RootBeat:
    return RootBeat(root=RootName(root), inst=inst, fence=fence, rev=0)


def roots(registry: Registry) -> set[str]:
    return {info.root for part in registry.snapshot(1) for info in part.roots}
