"""Progress bars on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

from caterva2.runtime.printable import printable

Update = Callable[[int, int | None], None]
"""Called with the work done and, if known, all of it."""


@contextlib.contextmanager
def watched(name: str, *columns: ProgressColumn) -> Iterator[Update | None]:
    """Show a progress bar, if standard error is a terminal."""
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        yield None
        return
    text = TextColumn("{task.description}", markup=False)
    with Progress(text, BarColumn(), *columns, console=console) as bar:
        task = bar.add_task(printable(name), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
