"""Stored chunks and blocks of a frame. This module imports neither numpy nor Blosc2."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """Raw chunks that were read together.

    ``sizes`` are the bytes of each chunk of ``ids`` in ``payload``, one after the other.
    """

    ids: list[int]
    sizes: list[int]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Some blocks of a chunk, or the whole chunk.

    ``payload`` is the header of the chunk and then the stored bytes of the blocks ``ids``, of
    which each takes one of ``sizes``. Without ids it is the whole chunk, which can't be divided.
    """

    ids: tuple[int, ...]
    sizes: tuple[int, ...]
    payload: bytes
