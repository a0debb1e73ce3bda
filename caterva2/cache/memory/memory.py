"""Memory that the replicas of a store share."""

from __future__ import annotations

from caterva2.cache.memory.maps import Maps
from caterva2.cache.memory.overlay import Overlay
from caterva2.cache.memory.parts import Parts
from caterva2.limits import DEFAULTS, CacheLimits


class Memory:
    """Chunks that the disk refused, parts of chunks, and maps of their blocks.

    Parameters
    ----------
    limits : CacheLimits

    Attributes
    ----------
    overlay : Overlay
    parts : Parts
    maps : Maps
    """

    def __init__(self, limits: CacheLimits = DEFAULTS.cache) -> None:
        self.overlay = Overlay(limits.overlay_bytes)
        self.parts = Parts(limits.parts_bytes)
        self.maps = Maps(limits.nonblocking_maps)

    def forget(self, owner: int) -> None:
        """Drop the chunks and parts of a replica."""
        self.overlay.forget(owner)
        self.parts.forget(owner)
