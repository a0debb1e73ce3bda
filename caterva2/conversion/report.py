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
    """Converted and skipped datasets, in the order of the source."""

    source: str
    target: str
    moved: list[Moved] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

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
        if self.skipped:
            lines.append(f"{len(self.skipped)} skipped:")
            lines += [f"  {skipped.path}: {skipped.reason}" for skipped in self.skipped]
        return "\n".join(lines)
