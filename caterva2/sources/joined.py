"""Chunks that a source makes one by one, joined to runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from caterva2.errors import DeadlineExceeded
from caterva2.frames.raw import Run
from caterva2.sources.base import NEVER


def joined(
    ids: Sequence[int],
    chunk: Callable[[int], bytes],
    confirm: Callable[[], object],
    room: int,
    deadline: float = NEVER,
) -> Iterator[Run]:
    """Yield chunks in runs of about ``room`` bytes, see `Source.chunks`.

    Parameters
    ----------
    ids : sequence of int
    chunk : callable
        Returns the chunk of a number.
    confirm : callable
        Called before each run is given; raises if what was read is not of one version.
    room : int
    deadline : float, optional
    """
    pieces: dict[int, bytes] = {}
    left = room

    def run() -> Run:
        confirm()
        sizes = [len(piece) for piece in pieces.values()]
        made = Run(list(pieces), sizes, b"".join(pieces.values()))
        pieces.clear()
        return made

    for n in ids:
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"chunk {n} could not be read in time")
        piece = chunk(n)
        if (pieces and len(piece) > left) or n in pieces:
            yield run()
            left = room
        pieces[n] = piece
        left -= len(piece)
        del piece
    if pieces:
        yield run()
