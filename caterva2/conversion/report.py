"""Report of an import or export."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Moved:
    """A dataset that was converted, ``kept`` of its chunks without recompression."""

    path: str
    nbytes: int
    kept: int
    converted: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was skipped; an attribute is named ``OBJECT@ATTRIBUTE``."""

    path: str
    reason: str


@dataclass(slots=True)
class Report:
    """Converted and skipped datasets, in the order of the source.

    What is ``left`` has no place in the target's format, such as a plain file in a directory; what
    is ``skipped`` should have been converted, but can't be.
    """

    source: str
    target: str
    moved: list[Moved] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    left: list[Skipped] = field(default_factory=list)

    def leave(self, path: str, reason: str) -> None:
        """Record something that the target's format is not for."""
        self.left.append(Skipped(path, reason))

    def skip(self, path: str, reason: str) -> None:
        """Record something that is skipped."""
        self.skipped.append(Skipped(path, reason))

    def plain(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return the report as text."""
        kept = sum(moved.kept for moved in self.moved)
        converted = sum(moved.converted for moved in self.moved)
        nbytes = sum(moved.nbytes for moved in self.moved)
        lines = [
            f"{self.source} -> {self.target}: {len(self.moved)} datasets, {nbytes} bytes of data; "
            f"{kept} chunks unchanged, {converted} converted"
        ]
        for items, what in ((self.left, "left out"), (self.skipped, "skipped")):
            if items:
                lines.append(f"{len(items)} {what}:")
                lines += [f"  {item.path}: {item.reason}" for item in items]
        return "\n".join(lines)
