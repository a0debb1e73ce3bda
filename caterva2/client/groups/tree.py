"""Tree: the files below a directory, drawn as text and as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from caterva2.runtime.printable import printable


@dataclass(slots=True)
class _Branch:
    """A name: what it shows, and the names below it."""

    note: str = ""
    below: dict[str, _Branch] = field(default_factory=dict)


class Tree:
    """The files below a directory by levels, shown in terminals and notebooks.

    Parameters
    ----------
    name : str
        Of the directory.
    notes : mapping of str to str
        What is shown of each file, by its relative path.
    more : bool
        Whether there are more files than these.
    """

    def __init__(self, name: str, notes: Mapping[str, str], *, more: bool = False) -> None:
        self._name = name
        self._top = _Branch()
        self._more = more
        for path, note in notes.items():
            at = self._top
            for part in path.split("/"):
                at = at.below.setdefault(part, _Branch())
            at.note = note

    def __str__(self) -> str:
        lines = [printable(self._name)]
        for lasts, name, branch in self._walk():
            *above, last = lasts
            stem = "".join("    " if done else "│   " for done in above)
            shown = f"{name} {branch.note}".rstrip()
            lines.append(f"{stem}{'└── ' if last else '├── '}{printable(shown)}")
        return "\n".join([*lines, "..."] if self._more else lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        made = [f"<b>{html.escape(printable(self._name))}</b><ul>"]
        depth = 1
        for lasts, name, branch in self._walk():
            made += ["</ul></details></li>"] * (depth - len(lasts))
            depth = len(lasts)
            shown = f"{html.escape(printable(name))} <small>{html.escape(branch.note)}</small>"
            if branch.below:
                made.append(f"<li><details open><summary>{shown}</summary><ul>")
                depth += 1
            else:
                made.append(f"<li>{shown}</li>")
        made += ["</ul></details></li>"] * (depth - 1)
        return "".join([*made, "<li>...</li></ul>" if self._more else "</ul>"])

    def _walk(self) -> Iterator[tuple[tuple[bool, ...], str, _Branch]]:
        """Yield each name, with whether it and each name above it is the last of its level."""
        pending = _marked((), self._top)
        while pending:
            lasts, name, branch = pending.pop()
            yield lasts, name, branch
            pending += _marked(lasts, branch)


def _marked(
    lasts: tuple[bool, ...], branch: _Branch
) -> list[tuple[tuple[bool, ...], str, _Branch]]:
    """Return the names below a branch, the first one at the end."""
    backwards = sorted(branch.below.items(), reverse=True)
    return [((*lasts, n == 0), name, inner) for n, (name, inner) in enumerate(backwards)]
