"""What the broker keeps of a root: its fence, and its lease while it has one."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from caterva2.limits.constants import FENCE
from caterva2.model import Model, Root, RootInfo
from caterva2.wire.messages import RootsNote, RootUp


class Record(Model):
    """A root's fence, and who holds the root, if a publisher does."""

    root: Root
    fence: Annotated[int, Field(ge=0, lt=FENCE)]
    lease: RootInfo | None = None

    @classmethod
    def of_lease(cls, info: RootInfo) -> Self:
        """Make the record of a root that has a publisher."""
        return cls(root=info.root, fence=info.fence, lease=info)

    @classmethod
    def of_note(cls, note: RootsNote) -> Self | None:
        """Make the record of what a note announces; None for a beat."""
        if isinstance(note, RootUp):
            return cls.of_lease(
                RootInfo.model_construct(**{f: getattr(note, f) for f in RootInfo.model_fields})
            )
        return None if note.type == "beat" else cls(root=note.root, fence=note.fence)
