"""Notes about roots that wait until the state that they announce is on disk."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable, Sequence

from caterva2.runtime.uncancellable import in_thread
from caterva2.wire.messages import RootsNote

log = logging.getLogger(__name__)
_BURST = 100
"""Notes that are sent before the loop runs other callbacks."""


class Outbox:
    """Send notes in order, each after the state that it announces is on disk.

    The state is written once for all notes that wait, in a thread, so that the time that a
    disk takes does not grow with their number.

    Parameters
    ----------
    save : callable
        Writes what some notes announce. Called in a thread; an `OSError` is logged.
    send : callable
        Takes a note.

    Attributes
    ----------
    sent : int
        Sequence number of the last note sent.
    """

    def __init__(
        self, save: Callable[[Sequence[RootsNote]], None], send: Callable[[RootsNote], None]
    ) -> None:
        self.sent = 0
        self._save = save
        self._send = send
        self._waiting: list[RootsNote] = []
        self._filled = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Number of notes that wait for the disk."""
        return len(self._waiting)

    def put(self, notes: Iterable[RootsNote]) -> None:
        """Add notes about what is the state already."""
        self._waiting.extend(notes)
        if self._waiting:
            self._filled.set()

    async def run(self) -> None:
        """Write the state and send the notes until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            notes, self._waiting = self._waiting, []
            try:
                await in_thread(functools.partial(self._save, notes))
            except OSError as error:
                log.error("the state of the broker can't be written: %s", error)
            for count, note in enumerate(notes, 1):
                self._send(note)
                self.sent = note.seq
                if count % _BURST == 0:
                    await asyncio.sleep(0)
