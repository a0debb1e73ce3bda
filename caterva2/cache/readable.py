"""Protocol of what values and frames are read from: the chunks of one version."""

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
        """The complete frame, if this package wrote it: no other is opened."""
        ...

    @property
    def file(self) -> Path | None:
        """The path of that frame; None if it is that of a later version now."""
        ...

    @property
    def trusted(self) -> bool:
        """Whether every chunk is present and was verified."""
        ...

    def read(self, ids: Ids) -> list[bytes] | None:
        """Read raw chunks that passed the gate; None if one is missing."""
        ...

    def read_touched(self, requested: Touched) -> list[bytes] | None:
        """Read chunks of which only the requested blocks need to be present; None if one is not."""
        ...

    def missing(self, ids: Ids) -> Ids:
        """Return those of some chunks that are not present as a whole."""
        ...

    def verify(self, ids: Ids) -> Ids:
        """Return those of some chunks that are missing or damaged."""
        ...
