"""Beats of roots that say nothing new: they wait for each other, so that readers wake up seldom."""

from __future__ import annotations

from caterva2.names import RootName
from caterva2.wire.messages import RootBeat, RootNote
from caterva2.wire.sockets import Frames


class Beats:
    """The last beat of each root, as long as it repeats what was forwarded before it.

    A subscriber of a hundred roots would be woken up by a hundred beats a second, each at a time
    of its own. Together they wake it up once.
    """

    def __init__(self) -> None:
        self._forwarded: dict[RootName, tuple[str, int, int]] = {}
        self._waiting: dict[RootName, Frames] = {}

    def waits(self, note: RootNote, frames: Frames) -> bool:
        """Return whether a note is kept until `take`; all others are to be forwarded at once."""
        says = (note.inst, note.fence, note.rev)
        if isinstance(note, RootBeat) and self._forwarded.get(note.root) == says:
            self._waiting[note.root] = frames
            return True
        self._forwarded[note.root] = says
        self._waiting.pop(note.root, None)
        return False

    def take(self) -> list[Frames]:
        """Return the beats that wait, which are to be forwarded now."""
        waiting, self._waiting = self._waiting, {}
        return list(waiting.values())

    def forget(self, root: RootName) -> None:
        """Forget a root that is announced to be down: no beat follows that."""
        self._forwarded.pop(root, None)
        self._waiting.pop(root, None)
