"""The broker's lease table: a pure state machine, without sockets or a clock.

A root is a lease. The first publisher to register a name holds it until the lease expires, and
each grant raises the root's fence, which never decreases, restarts of the broker included.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from caterva2.broker import fences
from caterva2.broker.announcements import Announcements
from caterva2.broker.mirrors import Mirrors
from caterva2.broker.record import Record
from caterva2.errors import Fenced, NotFound, RootTaken, TooLarge
from caterva2.limits import DEFAULTS, BrokerLimits
from caterva2.model import Registration
from caterva2.names import RootName
from caterva2.wire.messages import (
    BrokerBeat,
    Mirror,
    Reason,
    Register,
    Registered,
    RootNote,
    RootsNote,
    Snapshot,
    Unmirror,
    Unregister,
)


@dataclass(slots=True)
class _Lease:
    info: Registration
    expires: float
    peer: bytes
    key: str


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
        holder: Callable[[str], str] = lambda _key: "",
    ) -> None:
        self.binst = binst
        self._holder = holder
        self._limits = limits
        self._fences: dict[RootName, int] = {}
        self._leases: dict[RootName, _Lease] = {}
        self._by_peer: dict[bytes, RootName] = {}
        self._new_names: Counter[str] = Counter()
        self.mirrors = Mirrors(holder)
        self._announced = Announcements(binst, self.mirrors)
        for record in saved:
            self._fences[record.root] = record.fence
            if record.away is not None:
                self._announced.away[record.root] = record.away
            if (info := record.lease) is not None:
                self._leases[record.root] = _Lease(
                    info, now + info.ttl_ms / 1000, b"", info.curve_key
                )

    @property
    def seq(self) -> int:
        """Number of the last note."""
        return self._announced.seq

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
        leases, known = self._leases.copy(), self._fences.copy()
        away = self._announced.away.copy()
        infos = {name: lease.info for name, lease in leases.items()}
        return [
            Record(root=n, fence=fence, lease=infos.get(n), away=away.get(n))
            for n, fence in known.items()
        ]

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
            same = (held.info.inst, held.info.mirror) == (request.inst, request.mirror)
            if same and self._is_of(held, key):
                return self._renew(held, request, peer, now, key)
            if not self._may_take_over(request, held, key):
                raise _taken(held, now)
        # A publisher may remember a higher fence than a broker that lost its state.
        fence = fences.following(name, fences.highest(self._fences.get(name, 0), request.fence))
        if name not in self._fences:
            self._count_new(name, share)
        # Nothing may change before this point: a request that is refused publishes no notes.
        notes: list[RootsNote] = []
        self._announced.forget(name)
        if held is not None:
            notes.append(self._down(held, "expired" if expired else "replaced"))
        self._fences[name] = fence
        info = _registration(request, fence)
        self._leases[name] = _Lease(info, now + info.ttl_ms / 1000, peer, key)
        self._by_peer[peer] = name
        notes.append(self._announced.up(info))
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
        info = held.info
        if info.mirror and not request.mirror and info.inst in (request.inst, request.former):
            return True  # it is the origin of what the mirror publishes
        is_own = self._is_of(held, key)
        if request.mirror:  # its origin was started anew
            is_own &= request.mirror == info.mirror
        elif not key:
            is_own = bool(request.curve_key) and request.curve_key == info.curve_key
        return request.takeover and is_own

    def _renew(
        self, held: _Lease, request: Register, peer: bytes, now: float, key: str
    ) -> tuple[Registered, list[RootsNote]]:
        fence = held.info.fence
        if fences.highest(fence, request.fence) > fence:
            # It was granted earlier, and lost with a broker's state.
            fence = self._fences[request.root] = fences.following(request.root, request.fence)
            self.mirrors.end_all(request.root)
        info = _registration(request, fence)
        notes: list[RootsNote] = [] if info == held.info else [self._announced.up(info)]
        self._by_peer.pop(held.peer, None)
        self._by_peer[peer] = info.root
        self._leases[info.root] = _Lease(info, now + info.ttl_ms / 1000, peer, key)
        return self._registered(request.id, info), notes

    def mirror(
        self, request: Mirror, now: float, key: str = ""
    ) -> tuple[Registered, list[RootsNote]]:
        """Grant or renew the lease of a mirror.

        Raises
        ------
        NotFound
            If no publisher holds the root, or did so while it had this mirror.
        Fenced
            If the mirror is of another publisher than the one that holds the root.
        NotAllowed, TooLarge
            See `Mirrors.renew`.
        """
        lease = self._leases.get(request.root)
        of = lease.info if lease is not None else self._announced.away.get(request.root)
        if of is None:
            raise NotFound(f"root {request.root} has no publisher that it could be a mirror of")
        if (of.inst, of.fence) != (request.inst, request.fence):
            raise Fenced(f"root {request.root} has another publisher than {request.inst}")
        notes = self._changed({of.root}) if self.mirrors.renew(request, now, key) else []
        return self._registered(request.id, of, request.ttl_ms), notes

    def unmirror(self, request: Unmirror, key: str = "") -> list[RootsNote]:
        """End the lease of a mirror at its request."""
        ended = self.mirrors.end(request.root, request.mirror, key)
        return self._changed({request.root}) if ended else []

    def _changed(self, roots: set[RootName]) -> list[RootsNote]:
        """Announce roots whose mirrors changed."""
        held = {root: lease.info for root in roots if (lease := self._leases.get(root))}
        return list(self._announced.changed(roots, held))

    def _registered(self, request_id: int, info: Registration, ttl_ms: int = 0) -> Registered:
        return Registered(
            id=request_id, root=info.root, fence=info.fence, lease_ms=ttl_ms or info.ttl_ms,
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
        notes: list[RootsNote] = [self._down(lease, "expired") for lease in late]
        return notes + self._changed(self.mirrors.end_late(now))

    def revoke(
        self,
        may_publish: Callable[[str, RootName], bool],
        may_mirror: Callable[[str, RootName], bool] = lambda *_: True,
    ) -> list[RootsNote]:
        """End the leases whose keys may not publish, or mirror, their roots now."""
        leases = list(self._leases.values())
        late = [one for one in leases if not may_publish(one.key, one.info.root)]
        notes: list[RootsNote] = [self._down(lease, "closed") for lease in late]
        return notes + self._changed(self.mirrors.end_late(-math.inf, may_mirror))

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
        self._announced.forget(name)

    def beat(self, sent: int | None = None) -> BrokerBeat:
        """Return a note with the number of the last note, by which a lost one is detected.

        Parameters
        ----------
        sent : int, optional
            Number of the last note that was sent, where later ones still wait.
        """
        return BrokerBeat(seq=self.seq if sent is None else sent, binst=self.binst)

    def snapshot(self, request_id: int) -> list[Snapshot]:
        """Return all roots, in parts that fit into messages."""
        held = [lease.info for lease in self._leases.values()]
        return self._announced.snapshot(held, request_id, self._limits.snapshot_page)

    def _down(self, lease: _Lease, reason: Reason) -> RootsNote:
        del self._leases[lease.info.root]
        self._by_peer.pop(lease.peer, None)
        return self._announced.down(lease.info, reason)


def _taken(held: _Lease, now: float) -> RootTaken:
    info, where = held.info, ", ".join(held.info.endpoints)
    left: dict[str, object] = {"lease_ms": max(0, int((held.expires - now) * 1000))}
    if info.mirror:  # so that another one can join it
        left |= {"inst": info.inst, "fence": info.fence}
    return RootTaken(f"root {info.root} is published by {info.inst} at {where}", info=left)


def _registration(request: Register, fence: int) -> Registration:
    fields = request.model_dump(include=set(Registration.model_fields))
    return Registration.model_validate(fields | {"fence": fence})
