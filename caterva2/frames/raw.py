"""What is read of a frame as it is stored. It needs neither numpy nor Blosc2."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """Raw chunks read together.

    ``sizes`` are the bytes of each chunk of ``ids`` in ``payload``, one after the other.
    """

    ids: list[int]
    sizes: list[int]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Some blocks of a chunk, or all of the chunk.

    ``payload`` is the header of the chunk and then the stored bytes of the blocks ``ids``, of
    which each takes one of ``sizes``. Without any ids it is the whole chunk, since that can't
    be divided.
    """

    ids: tuple[int, ...]
    sizes: tuple[int, ...]
    payload: bytes
