"""The broker's lease table: a pure state machine, without sockets or a clock.

A root is a lease. The first publisher to register a name holds it until the lease expires, and
each grant raises the root's fence, which never decreases, restarts of the broker included.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from caterva2.broker.record import Record
from caterva2.errors import BadMessage, Fenced, NotFound, RootTaken, TooLarge
from caterva2.limits import DEFAULTS, BrokerLimits
from caterva2.limits.constants import FENCE, FENCE_LEAP, SNAPSHOT_ROOTS
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.wire.messages import (
    BrokerBeat,
    Register,
    Registered,
    RootDown,
    RootNote,
    RootsNote,
    RootUp,
    Snapshot,
    Unregister,
)


@dataclass(slots=True)
class _Lease:
    info: RootInfo
    expires: float
    peer: bytes
    key: str


def _nobody(_key: str) -> str:
    """Return the name of a key's holder where there are no keys."""
    return ""


class Registry:
    """The leases of all roots of a broker.

    Methods that change a lease return the notes to publish; times are monotonic seconds.

    Parameters
    ----------
    binst : str
        Names this run of the broker.
    saved : iterable of Record
        The result of `dump` in an earlier run. Its leases are renewed once, so that a restart of
        the broker takes no root from its holder.
    now : float
    limits : BrokerLimits, optional
    holder : callable, optional
        Gives the name of a key's holder. A lease belongs to the holder of the key that
        registered it.
    """

    def __init__(
        self,
        binst: str,
        saved: Iterable[Record],
        now: float,
        limits: BrokerLimits = DEFAULTS.broker,
        holder: Callable[[str], str] = _nobody,
    ) -> None:
        self.binst = binst
        self._holder = holder
        self._limits = limits
        self.seq = 0
        self._fences: dict[RootName, int] = {}
        self._leases: dict[RootName, _Lease] = {}
        self._by_peer: dict[bytes, RootName] = {}
        self._new_names: Counter[str] = Counter()
        for record in saved:
            self._fences[record.root] = record.fence
            if (info := record.lease) is not None:
                self._leases[record.root] = _Lease(
                    info, now + info.ttl_ms / 1000, b"", info.curve_key
                )

    @property
    def connections(self) -> int:
        """Number of connections that hold a root."""
        return len(self._by_peer)

    def __len__(self) -> int:
        return len(self._leases)

    def dump(self) -> list[Record]:
        """Return the state that must outlive the broker.

        May run in a thread, as leases change meanwhile: both are copied at once, the leases first,
        so that no lease has a fence above the saved one.
        """
        leases, fences = self._leases.copy(), self._fences.copy()
        infos = {name: lease.info for name, lease in leases.items()}
        return [Record(root=n, fence=fence, lease=infos.get(n)) for n, fence in fences.items()]

    @property
    def names(self) -> int:
        """Number of names that have a fence."""
        return len(self._fences)

    def register(
        self, request: Register, peer: bytes, now: float, share: str = "", key: str = ""
    ) -> tuple[Registered, list[RootsNote]]:
        """Grant or renew a lease.

        Parameters
        ----------
        request : Register
        peer : bytes
            The connection.
        now : float
        share : str, optional
            Whose share of the names a new one counts against.
        key : str, optional
            The authenticated key of the connection.

        Raises
        ------
        RootTaken
            If another publisher holds the root; the detail names it and its endpoints.
        TooLarge
            If the broker has as many roots as it may have, in all or of that share.
        """
        name = request.root
        held = self._leases.get(name)
        expired = held is not None and held.expires <= now
        if held is not None and not expired:
            if held.info.inst == request.inst and self._is_of(held, key):
                return self._renew(held, request, peer, now, key)
            if not self._may_take_over(request, held, key):
                raise _taken(held, now)
        # A publisher may remember a higher fence than a broker that lost its state.
        fence = _next_fence(name, _highest(self._fences.get(name, 0), request.fence))
        if name not in self._fences:
            self._count_new(name, share)
        # Nothing may change before this point: a request that is refused publishes no notes.
        notes: list[RootsNote] = []
        if held is not None:
            notes.append(self._down(held, "expired" if expired else "replaced"))
        self._fences[name] = fence
        info = _root_info(request, fence)
        self._leases[name] = _Lease(info, now + info.ttl_ms / 1000, peer, key)
        self._by_peer[peer] = name
        notes.append(self._up(info))
        return self._registered(request.id, info), notes

    def _count_new(self, name: RootName, share: str) -> None:
        most, of_one = self._limits.roots, self._limits.address_roots
        if len(self._fences) >= most:
            raise TooLarge(
                f"root {name} is new, and the broker knows ROOTS ({most}) names: its operator can"
                " raise the limit, or drop names with cat2bro --forget"
            )
        if self._new_names[share] >= of_one:
            raise TooLarge(
                f"root {name} is new, and {share or 'this address'} has registered ADDRESS_ROOTS"
                f" ({of_one}) new names already: the broker's operator can raise the limit"
            )
        self._new_names[share] += 1

    def _is_of(self, lease: _Lease, key: str) -> bool:
        """Return whether a lease belongs to the holder of a key."""
        return self._holder(lease.key) == self._holder(key)

    def _may_take_over(self, request: Register, held: _Lease, key: str) -> bool:
        if key:
            return request.takeover and self._is_of(held, key)
        same_key = bool(request.curve_key) and request.curve_key == held.info.curve_key
        return request.takeover and same_key

    def _renew(
        self, held: _Lease, request: Register, peer: bytes, now: float, key: str
    ) -> tuple[Registered, list[RootsNote]]:
        fence = held.info.fence
        if (
            _highest(fence, request.fence) > fence
        ):  # granted earlier, and lost with a broker's state
            fence = self._fences[request.root] = _next_fence(request.root, request.fence)
        info = _root_info(request, fence)
        notes: list[RootsNote] = [] if info == held.info else [self._up(info)]
        self._by_peer.pop(held.peer, None)
        self._by_peer[peer] = info.root
        self._leases[info.root] = _Lease(info, now + info.ttl_ms / 1000, peer, key)
        return self._registered(request.id, info), notes

    def _registered(self, request_id: int, info: RootInfo) -> Registered:
        return Registered(
            id=request_id, root=info.root, fence=info.fence, lease_ms=info.ttl_ms,
            beat_ms=int(self._limits.beat * 1000), binst=self.binst, rights=info.rights,
        )  # fmt: skip

    def heard(self, peer: bytes, now: float, key: str = "") -> None:
        """Renew the lease of the publisher on a connection, which sent any message.

        A peer names its connection itself, so its key has to be the holder's.
        """
        lease = self._leases.get(self._by_peer.get(peer, RootName("_")))
        if lease is not None and lease.peer == peer and self._is_of(lease, key):
            lease.expires = now + lease.info.ttl_ms / 1000

    def admits(self, note: RootNote, now: float, key: str = "") -> bool:
        """Return whether the sender of a note holds its root; if so, renew the lease."""
        lease = self._held_by(note.root, note.inst, note.fence, key)
        if lease is None:
            return False
        lease.expires = now + lease.info.ttl_ms / 1000
        return True

    def _held_by(self, root: RootName, inst: str, fence: int, key: str) -> _Lease | None:
        lease = self._leases.get(root)
        if lease is None or (lease.info.inst, lease.info.fence) != (inst, fence):
            return None
        return lease if self._is_of(lease, key) else None

    def unregister(self, request: Unregister, key: str = "") -> list[RootsNote]:
        """End a lease at its holder's request.

        Raises
        ------
        Fenced
            If the sender does not hold the root.
        """
        lease = self._held_by(request.root, request.inst, request.fence, key)
        if lease is None:
            raise Fenced(f"{request.inst} does not hold root {request.root}")
        return [self._down(lease, "closed")]

    def expire(self, now: float) -> list[RootsNote]:
        """End the leases that have expired."""
        late = [lease for lease in self._leases.values() if lease.expires <= now]
        return [self._down(lease, "expired") for lease in late]

    def revoke(self, may_publish: Callable[[str, RootName], bool]) -> list[RootsNote]:
        """End the leases that were registered with keys that may not publish their roots now."""
        leases = list(self._leases.values())
        late = [one for one in leases if not may_publish(one.key, one.info.root)]
        return [self._down(lease, "closed") for lease in late]

    def forget(self, name: RootName) -> None:
        """Drop the fence of a root's name, and its lease, as if it had never been registered.

        Raises
        ------
        NotFound
            If no root ever had this name.
        """
        if self._fences.pop(name, None) is None:
            raise NotFound(f"the broker knows no root {name}")
        self._leases.pop(name, None)

    def beat(self, sent: int | None = None) -> BrokerBeat:
        """Return a note with the number of the last note, by which a lost one is detected.

        Parameters
        ----------
        sent : int, optional
            Number of the last note that was sent, where later ones still wait.
        """
        return BrokerBeat(seq=self.seq if sent is None else sent, binst=self.binst)

    def snapshot(self, request_id: int) -> list[Snapshot]:
        """Return the current leases of all roots, in parts that fit into messages."""
        infos = [lease.info for lease in self._leases.values()]
        size = min(self._limits.snapshot_page, SNAPSHOT_ROOTS)
        parts = max(1, math.ceil(len(infos) / size))
        return [
            Snapshot(
                id=request_id, binst=self.binst, seq=self.seq, part=part, parts=parts,
                complete=part == parts - 1, roots=tuple(infos[part * size : (part + 1) * size]),
            )
            for part in range(parts)
        ]  # fmt: skip

    def _up(self, info: RootInfo) -> RootUp:
        self.seq += 1
        return RootUp(**info.model_dump(), seq=self.seq, binst=self.binst)

    def _down(self, lease: _Lease, reason: str) -> RootDown:
        self.seq += 1
        del self._leases[lease.info.root]
        self._by_peer.pop(lease.peer, None)
        return RootDown.model_validate(
            {
                "seq": self.seq, "binst": self.binst, "root": lease.info.root,
                "fence": lease.info.fence, "reason": reason,
            }
        )  # fmt: skip


def _taken(held: _Lease, now: float) -> RootTaken:
    info, where = held.info, ", ".join(held.info.endpoints)
    left: dict[str, object] = {"lease_ms": max(0, int((held.expires - now) * 1000))}
    return RootTaken(f"root {info.root} is published by {info.inst} at {where}", info=left)


def _highest(known: int, remembered: int) -> int:
    """Return the higher of a known fence and one that a publisher remembers.

    No publisher can have been granted one so much higher that it leaps: such a claim would use
    up the fences of a name, and is ignored.
    """
    return known if remembered > known + FENCE_LEAP else max(known, remembered)


def _next_fence(root: RootName, fence: int) -> int:
    if fence >= FENCE - 1:
        raise BadMessage(
            f"fence {fence} is too large: no higher one can be granted, until the operator of the"
            f" broker runs cat2bro --forget {root}"
        )
    return fence + 1


def _root_info(request: Register, fence: int) -> RootInfo:
    fields = request.model_dump(include=set(RootInfo.model_fields))
    return RootInfo.model_validate(fields | {"fence": fence})
