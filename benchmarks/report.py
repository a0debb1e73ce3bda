"""Tables of what was measured, and their places in a text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Table:
    """A table as it stands in the report; its name says between which markers."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        self.rows.append((*cells, *[""] * (len(self.columns) - len(cells))))

    def __str__(self) -> str:
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(cells).strip() + " |" for cells in lines)


def put(path: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of a name; the markers are added where missing."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    place = f"{begin}\n\n{text}\n\n{end}"
    found = path.read_text() if path.exists() else ""
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(found):
        found = pattern.sub(lambda _: place, found)
    else:
        found = f"{found.rstrip()}\n\n## {name.capitalize()}\n\n{place}\n"
    path.write_text(found)


def time(seconds: float) -> str:
    """A time with three digits that count."""
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def times(ratio: float, of: str = "") -> str:
    """A ratio."""
    return f"{ratio:.2f} x {of}".rstrip()


def megabytes(count: float) -> str:
    return f"{count / 1e6:.3g} MB"


def at_most(found: float, bar: float, unit: str = "") -> str:
    """A bar that should not be exceeded, and whether it is."""
    return f"<= {bar:g}{unit}: {'met' if found <= bar else '**missed**'}"


def at_least(found: float, bar: float, unit: str = "") -> str:
    """A bar that should be reached, and whether it is."""
    return f">= {bar:g}{unit}: {'met' if found >= bar else '**missed**'}"
