"""What the broker keeps of a root: its fence, and its lease while it has one."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from caterva2.limits.constants import FENCE
from caterva2.model import Model, Registration, Root
from caterva2.wire.messages import RootsNote, RootUp


class Record(Model):
    """A root's fence, and who holds the root, if a publisher does.

    ``away`` is who held it last, if it has mirrors that still serve it.
    """

    root: Root
    fence: Annotated[int, Field(ge=0, lt=FENCE)]
    lease: Registration | None = None
    away: Registration | None = None

    @classmethod
    def of_lease(cls, info: Registration) -> Self:
        """Make the record of a root that has a publisher."""
        return cls(root=info.root, fence=info.fence, lease=info)

    @classmethod
    def of_note(cls, note: RootsNote) -> Self | None:
        """Make the record of what a note announces; None for a beat."""
        if isinstance(note, RootUp):
            return cls.of_lease(_registration(note))
        if note.type == "beat":
            return None
        away = _registration(note.away) if note.away is not None else None
        return cls(root=note.root, fence=note.fence, away=away)


def _registration(info: Registration) -> Registration:
    fields = {name: getattr(info, name) for name in Registration.model_fields}
    return Registration.model_construct(**fields)
