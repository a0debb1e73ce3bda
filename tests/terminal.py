"""Commands run at a terminal: what they ask and show there."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import time
from collections.abc import Sequence

from tests.forkserver import fork_server


def at_terminal(
    command: str, *arguments: str, answers: Sequence[tuple[str, str]] = (), **env: str
) -> tuple[int, str]:
    """Run a command of the package; its exit code and all that the terminal showed.

    Each answer is what is typed when the words before it have been shown.
    """
    terminal, theirs = pty.openpty()
    try:
        child = fork_server().fork(command, list(arguments), (theirs,) * 3, env=os.environ | env)
    finally:
        os.close(theirs)
    shown, until, waiting = "", time.monotonic() + 30, list(answers)
    with contextlib.suppress(OSError):  # its end, as Linux tells it
        while time.monotonic() < until:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 4096).decode(errors="replace")
            if waiting and waiting[0][0] in shown:
                os.write(terminal, f"{waiting.pop(0)[1]}\n".encode())
    child.terminate()  # if it still runs
    os.close(terminal)
    return child.wait(10), shown
