"""What values and frames are read out of: chunks that are at hand, or some of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from caterva2.cache.touched_blocks import Touched
from caterva2.frames.sealed import Sealed
from caterva2.model import DatasetInfo

Ids = npt.NDArray[np.int64]
"""Numbers of chunks."""


class Readable(Protocol):
    """One version of a dataset; all methods may be called from any thread, and block."""

    @property
    def info(self) -> DatasetInfo: ...

    @property
    def sealed(self) -> Sealed | None:
        """The complete frame, if it is one that this package wrote: others are not opened."""
        ...

    @property
    def file(self) -> Path | None:
        """Where that frame is."""
        ...

    @property
    def trusted(self) -> bool:
        """Whether every chunk is at hand and needs no check any more."""
        ...

    def read(self, ids: Ids) -> list[bytes] | None:
        """Raw chunks that passed the gate; None if one is not there."""
        ...

    def read_touched(self, wanted: Touched) -> list[bytes] | None:
        """Chunks of which only the wanted blocks need to be there; None if one is not."""
        ...

    def missing(self, ids: Ids) -> Ids:
        """Those of some chunks that are not there as a whole."""
        ...

    def verify(self, ids: Ids) -> Ids:
        """Those of some chunks that are not there, or damaged."""
        ...
