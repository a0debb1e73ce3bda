"""The leases of mirrors: a pure state machine, without sockets or a clock.

A mirror serves a root beside its publisher. Its lease ends alone, and with the fence that it is of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from caterva2.errors import NotAllowed, TooLarge
from caterva2.limits.constants import MIRRORS
from caterva2.model import MirrorInfo
from caterva2.names import RootName
from caterva2.wire.messages import Mirror, Renew

LOAD_STEP = 25
"""Percent by which the load of a mirror has to change for it to be announced anew."""


@dataclass(slots=True)
class _Lease:
    info: MirrorInfo
    expires: float
    key: str


class Mirrors:
    """The mirrors of all roots of a broker; times are monotonic seconds.

    Parameters
    ----------
    holder : callable
        Gives the name of a key's holder. A mirror belongs to the holder of the key that
        announced it.
    """

    def __init__(self, holder: Callable[[str], str]) -> None:
        self._holder = holder
        self._leases: dict[RootName, dict[str, _Lease]] = {}

    def of(self, root: RootName) -> tuple[MirrorInfo, ...]:
        """Return the mirrors of a root, those with the fewest others before them first."""
        infos = [lease.info for lease in self._leases.get(root, {}).values()]
        return tuple(sorted(infos, key=lambda info: (len(info.path), info.mirror)))

    def renew(self, request: Mirror, now: float, key: str) -> bool:
        """Grant or renew the lease of a mirror; return whether something is to be announced.

        Raises
        ------
        NotAllowed
            If another key's holder announced the mirror.
        TooLarge
            If the root has as many mirrors as may be announced.
        """
        of_root = self._leases.get(request.root, {})
        held = of_root.get(request.mirror)
        if held is not None and not self._is_of(held, key):
            raise NotAllowed(f"mirror {request.mirror} of {request.root} has another key")
        if held is None and len(of_root) >= MIRRORS:
            raise TooLarge(f"root {request.root} has MIRRORS ({MIRRORS}) mirrors already")
        info = MirrorInfo.model_validate(
            request.model_dump(include=set(MirrorInfo.model_fields)), strict=True
        )
        if held is not None and _is_like(held.info, info):
            info = held.info
        self._leases.setdefault(request.root, {})[info.mirror] = _Lease(
            info, now + request.ttl_ms / 1000, key
        )
        return held is None or info is not held.info

    def prolong(self, request: Renew, now: float, key: str) -> tuple[RootName, ...]:
        """Renew leases as they are; return the roots of which the key has one by this name."""
        held = {
            root: lease
            for root in request.roots
            if (lease := self._leases.get(root, {}).get(request.mirror)) and lease.key == key
        }
        for lease in held.values():
            lease.expires = now + request.ttl_ms / 1000
        return tuple(held)

    def _is_of(self, lease: _Lease, key: str) -> bool:
        return self._holder(lease.key) == self._holder(key)

    def end(self, root: RootName, mirror: str, key: str) -> bool:
        """End the lease of a mirror; return whether there was one that the key's holder has."""
        held = self._leases.get(root, {}).get(mirror)
        if held is None or not self._is_of(held, key):
            return False
        self._drop(root, mirror)
        return True

    def end_all(self, root: RootName) -> None:
        """End the leases of all mirrors of a root."""
        self._leases.pop(root, None)

    def end_late(
        self, now: float, may_mirror: Callable[[str, RootName], bool] = lambda *_: True
    ) -> set[RootName]:
        """End the leases that have expired or whose keys have no right; return their roots."""
        late = [
            (root, name)
            for root, of_root in self._leases.items()
            for name, lease in of_root.items()
            if lease.expires <= now or not may_mirror(lease.key, root)
        ]
        for root, name in late:
            self._drop(root, name)
        return {root for root, _ in late}

    def _drop(self, root: RootName, mirror: str) -> None:
        of_root = self._leases[root]
        del of_root[mirror]
        if not of_root:
            del self._leases[root]


def _is_like(known: MirrorInfo, info: MirrorInfo) -> bool:
    """Return whether only the load differs, by little."""
    same = known.model_copy(update={"load": info.load}) == info
    return same and abs(known.load - info.load) < LOAD_STEP
