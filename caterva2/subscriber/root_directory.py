"""Which roots a subscriber knows, from a snapshot and the notes that follow it.

This is the Clone pattern: subscribe, queue notes, ask for a snapshot, apply it, drop the notes
that it already holds, apply the rest. A gap in the sequence or a new broker asks again.
Pure: notes and snapshots in, roots out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from caterva2.limits import DEFAULTS
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.wire.messages import BrokerBeat, RootDown, RootsNote, RootUp, Snapshot


class RootDirectory:
    """The roots that are published now, as far as this subscriber can know.

    Parameters
    ----------
    max_notes : int
        Notes that are queued until a snapshot arrives; the newest count.
    admitted : callable, optional
        Gives what can be used of a root as it is announced; None if it is not up then.

    Attributes
    ----------
    roots : dict
        Root name to `RootInfo` of those that are up.
    needs_snapshot : bool
        Whether notes were missed, so that the broker is to be asked.
    known : bool
        Whether a broker ever said which roots there are.
    """

    def __init__(
        self,
        max_notes: int = DEFAULTS.wire.control_hwm,
        admitted: Callable[[RootInfo], RootInfo | None] = lambda info: info,
    ) -> None:
        self._admitted = admitted
        self.roots: dict[RootName, RootInfo] = {}
        self.needs_snapshot = True
        self.known = False
        self._binst = ""
        self._seq = -1
        self._queue: deque[RootsNote] = deque(maxlen=max_notes)

    def note(self, note: RootsNote) -> set[RootName]:
        """Apply a note; return the names of roots whose state changed."""
        if self.needs_snapshot:
            self._queue.append(note)
            return set()
        if note.binst != self._binst:
            return self._lost(note)
        if isinstance(note, BrokerBeat):
            return self._lost(note) if note.seq > self._seq else set()
        if note.seq <= self._seq:
            return set()
        if note.seq > self._seq + 1:
            return self._lost(note)
        self._seq = note.seq
        return self._apply(note)

    def snapshot(self, parts: Iterable[Snapshot]) -> set[RootName]:
        """Apply all parts of a snapshot; return the names of roots whose state changed."""
        parts = list(parts)
        if len({(part.binst, part.seq) for part in parts}) != 1:
            return set()
        self._binst, self._seq = parts[0].binst, parts[0].seq
        announced = [info for part in parts for info in (*part.roots, *part.away)]
        found = {info.root: info for info in map(self._admitted, announced) if info is not None}
        changed = {
            name for name in found.keys() | self.roots.keys()
            if found.get(name) != self.roots.get(name)
        }  # fmt: skip
        self.roots = found
        self.needs_snapshot = False
        self.known = True
        queued, self._queue = self._queue, deque(maxlen=self._queue.maxlen)
        for note in queued:
            # Notes of another broker are from before its restart, or of a newer one: the next
            # beat shows which.
            if note.binst == self._binst:
                changed |= self.note(note)
        return changed

    def _lost(self, note: RootsNote) -> set[RootName]:
        self.needs_snapshot = True
        self._queue.append(note)
        return set()

    def _apply(self, note: RootUp | RootDown) -> set[RootName]:
        known = self.roots.get(note.root)
        if isinstance(note, RootUp):
            if known is not None and known.fence > note.fence:
                return set()
            info = RootInfo(**{name: getattr(note, name) for name in RootInfo.model_fields})
        elif known is not None and known.fence != note.fence:
            return set()
        elif note.away is not None:
            info = note.away.model_copy(update={"away": True})
        else:
            return {note.root} if self.roots.pop(note.root, None) else set()
        used = self._admitted(info)
        if used is None:
            return {note.root} if self.roots.pop(note.root, None) else set()
        self.roots[note.root] = used
        return {note.root} if used != known else set()
