"""Which roots exist and who holds them: the broker's mind, without sockets or a clock.

A root is a lease. The first holder of a name has it until the lease runs out, and each grant
raises the root's fence, which never goes back, restarts of the broker included.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from caterva2 import limits
from caterva2.errors import BadMessage, Fenced, RootTaken, TooLarge
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


class Registry:
    """All roots of a broker.

    Methods that change something return the notes to publish; times are monotonic seconds.

    Parameters
    ----------
    binst : str
        Names this run of the broker.
    saved : bytes, optional
        What `dump` gave in an earlier run. Its roots keep their holders for one lease, so that
        a restart of the broker disturbs nobody.
    now : float
    """

    def __init__(self, binst: str, saved: bytes | None, now: float) -> None:
        self.binst = binst
        self.seq = 0
        self._fences: dict[RootName, int] = {}
        self._leases: dict[RootName, _Lease] = {}
        self._by_peer: dict[bytes, RootName] = {}
        if saved:
            self._load(saved, now)

    def _load(self, saved: bytes, now: float) -> None:
        state = json.loads(saved)
        self._fences = {RootName(name): int(fence) for name, fence in state["fences"].items()}
        for item in state["roots"]:
            info = RootInfo.model_validate_json(json.dumps(item))
            self._leases[info.root] = _Lease(info, now + info.ttl_ms / 1000, b"")

    def dump(self) -> bytes:
        """The state that must outlive the broker, as JSON."""
        roots = [lease.info.model_dump(mode="json") for lease in self._leases.values()]
        return json.dumps({"fences": self._fences, "roots": roots}, indent=1).encode()

    def register(
        self, request: Register, peer: bytes, now: float
    ) -> tuple[Registered, list[RootsNote]]:
        """Grant or renew a lease.

        Raises
        ------
        RootTaken
            If somebody else holds the root; the text names who and where.
        """
        name = request.root
        held = self._leases.get(name)
        ran_out = held is not None and held.expires <= now
        if held is not None and not ran_out:
            if held.info.inst == request.inst:
                return self._renew(held, request, peer, now)
            if not self._may_take_over(request, held):
                raise _taken(held, now)
        # A publisher may remember a higher fence than a broker that lost its state.
        fence = _next_fence(max(self._fences.get(name, 0), request.fence))
        if name not in self._fences and len(self._fences) >= limits.ROOTS:
            raise TooLarge(f"a broker has at most {limits.ROOTS} roots")
        # Nothing may change before this point: who is refused gets no notes to publish.
        notes: list[RootsNote] = []
        if held is not None:
            notes.append(self._down(held, "expired" if ran_out else "replaced"))
        self._fences[name] = fence
        info = _root_info(request, fence)
        self._leases[name] = _Lease(info, now + info.ttl_ms / 1000, peer)
        self._by_peer[peer] = name
        notes.append(self._up(info))
        return self._registered(request.id, info), notes

    def _may_take_over(self, request: Register, held: _Lease) -> bool:
        same_key = bool(request.curve_key) and request.curve_key == held.info.curve_key
        return request.takeover and same_key

    def _renew(
        self, held: _Lease, request: Register, peer: bytes, now: float
    ) -> tuple[Registered, list[RootsNote]]:
        fence = held.info.fence
        if request.fence > fence:  # granted before a restart, and lost with the broker's state
            fence = self._fences[request.root] = _next_fence(request.fence)
        info = _root_info(request, fence)
        notes: list[RootsNote] = [] if info == held.info else [self._up(info)]
        self._by_peer.pop(held.peer, None)
        self._by_peer[peer] = info.root
        self._leases[info.root] = _Lease(info, now + info.ttl_ms / 1000, peer)
        return self._registered(request.id, info), notes

    def _registered(self, request_id: int, info: RootInfo) -> Registered:
        return Registered(
            id=request_id, root=info.root, fence=info.fence, lease_ms=info.ttl_ms,
            beat_ms=int(limits.BEAT * 1000), binst=self.binst,
        )  # fmt: skip

    def heard(self, peer: bytes, now: float) -> None:
        """Any message of a holder's control connection renews its lease."""
        lease = self._leases.get(self._by_peer.get(peer, RootName("_")))
        if lease is not None and lease.peer == peer:
            lease.expires = now + lease.info.ttl_ms / 1000

    def admits(self, note: RootNote, now: float) -> bool:
        """Whether a note about a root comes from its holder; if so, it renews the lease."""
        lease = self._leases.get(note.root)
        if lease is None or (lease.info.inst, lease.info.fence) != (note.inst, note.fence):
            return False
        lease.expires = now + lease.info.ttl_ms / 1000
        return True

    def unregister(self, request: Unregister) -> list[RootsNote]:
        """A holder gives its root back.

        Raises
        ------
        Fenced
            If it is not the holder.
        """
        lease = self._leases.get(request.root)
        if lease is None or (lease.info.inst, lease.info.fence) != (request.inst, request.fence):
            raise Fenced(f"{request.inst} does not hold root {request.root}")
        return [self._down(lease, "closed")]

    def expire(self, now: float) -> list[RootsNote]:
        """Take back the leases that ran out."""
        late = [lease for lease in self._leases.values() if lease.expires <= now]
        return [self._down(lease, "expired") for lease in late]

    def beat(self) -> BrokerBeat:
        """Repeats the last sequence number, so that a lost final note is seen."""
        return BrokerBeat(seq=self.seq, binst=self.binst)

    def snapshot(self, request_id: int) -> list[Snapshot]:
        """All roots as they are now, in parts that fit into messages."""
        infos = [lease.info for lease in self._leases.values()]
        size = limits.SNAPSHOT_PAGE
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


def _next_fence(fence: int) -> int:
    if fence >= limits.FENCE - 1:
        raise BadMessage(f"fence {fence} leaves none to grant")
    return fence + 1


def _root_info(request: Register, fence: int) -> RootInfo:
    fields = request.model_dump(include=set(RootInfo.model_fields))
    return RootInfo.model_validate(fields | {"fence": fence})
