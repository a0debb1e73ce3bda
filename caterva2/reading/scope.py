"""The setting that the reads of a service share: limits, open arrays, the signal to stop."""

from __future__ import annotations

import threading

from caterva2.limits import DEFAULTS, CacheLimits
from caterva2.model import DatasetInfo
from caterva2.reading.handles import Handles


class ReadScope:
    """The setting in which values are read.

    Parameters
    ----------
    limits : CacheLimits

    Attributes
    ----------
    ended : threading.Event
        Once it is set, reads end at their next step.
    handles : Handles
    """

    def __init__(self, limits: CacheLimits = DEFAULTS.cache) -> None:
        self.limits = limits
        self.ended = threading.Event()
        self.handles = Handles(limits.handles)

    def chunks_a_step(self, info: DatasetInfo) -> int:
        """Count the chunks that are decoded at once, while the interpreter is held."""
        limits = self.limits
        return max(1, min(limits.decode_step // max(info.chunksize, 1), limits.decode_chunks))


DEFAULT_SCOPE = ReadScope()
"""For reads outside of a service, with the default limits."""
