"""What a broker announces of roots, with their mirrors: notes and snapshots. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from caterva2.broker.mirrors import Mirrors
from caterva2.limits.constants import SNAPSHOT_ROOTS
from caterva2.model import Registration, RootInfo
from caterva2.names import RootName
from caterva2.wire.messages import Reason, RootDown, RootUp, Snapshot

MIRRORS_A_ROOT = 4
"""Mirrors that take as much of a message as a root."""


class Announcements:
    """Count notes about roots, and compose them and snapshots.

    Parameters
    ----------
    binst : str
        Names this run of the broker.
    mirrors : Mirrors

    Attributes
    ----------
    seq : int
        Number of the last note.
    away : dict
        The last registrations of roots without a publisher, for as long as these have mirrors;
        those of an earlier run of the broker until then.
    """

    def __init__(self, binst: str, mirrors: Mirrors) -> None:
        self.seq = 0
        self.away: dict[RootName, Registration] = {}
        self._binst = binst
        self._mirrors = mirrors
        self._reasons: dict[RootName, Reason] = {}

    def up(self, info: Registration) -> RootUp:
        """Announce a root as its publisher registered it."""
        self.seq += 1
        self._forget(info.root)
        return RootUp(**dict(self._announced(info)), seq=self.seq, binst=self._binst)

    def down(self, info: Registration, reason: Reason) -> RootDown:
        """Announce that a root has no publisher any more, and which mirrors it still has."""
        self.seq += 1
        away = self._announced(info, away=True)
        self._forget(info.root)
        if away.mirrors:
            self.away[info.root], self._reasons[info.root] = info, reason
        return RootDown(
            seq=self.seq, binst=self._binst, root=info.root, fence=info.fence, reason=reason,
            away=away if away.mirrors else None,
        )  # fmt: skip

    def changed(
        self, roots: Iterable[RootName], held: Mapping[RootName, Registration]
    ) -> list[RootUp | RootDown]:
        """Announce roots whose mirrors changed, of which ``held`` have a publisher."""
        notes: list[RootUp | RootDown] = []
        for root in roots:
            if root in held:
                notes.append(self.up(held[root]))
            elif root in self.away:
                notes.append(self.down(self.away[root], self._reasons.get(root, "expired")))
        return notes

    def snapshot(self, held: Iterable[Registration], request_id: int, most: int) -> list[Snapshot]:
        """Return all roots, of which ``held`` have a publisher, in parts of at most so many."""
        infos = [self._announced(info) for info in held]
        away = [self._announced(info, away=True) for info in self.away.values()]
        pages = _pages(infos + [info for info in away if info.mirrors], min(most, SNAPSHOT_ROOTS))
        return [
            Snapshot(
                id=request_id, binst=self._binst, seq=self.seq, part=part, parts=len(pages),
                complete=part == len(pages) - 1,
                roots=tuple(info for info in page if not info.away),
                away=tuple(info for info in page if info.away),
            )
            for part, page in enumerate(pages)
        ]  # fmt: skip

    def forget(self, root: RootName) -> None:
        """Forget a root, and its mirrors."""
        self._mirrors.end_all(root)
        self._forget(root)

    def _forget(self, root: RootName) -> None:
        self.away.pop(root, None)
        self._reasons.pop(root, None)

    def _announced(self, info: Registration, *, away: bool = False) -> RootInfo:
        fields = {name: getattr(info, name) for name in Registration.model_fields}
        return RootInfo(**fields, mirrors=self._mirrors.of(info.root), away=away)


def _pages(infos: Iterable[RootInfo], most: int) -> list[list[RootInfo]]:
    """Return roots in pages that fit into messages."""
    pages: list[list[RootInfo]] = [[]]
    room = most
    for info in infos:
        size = 1 + -(-len(info.mirrors) // MIRRORS_A_ROOT)
        if size > room and pages[-1]:
            pages.append([])
            room = most
        pages[-1].append(info)
        room -= size
    return pages
