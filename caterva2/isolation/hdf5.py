"""An HDF5 file as a source whose process loads HDF5, so that this one does not."""

from __future__ import annotations

from pathlib import Path

from caterva2.isolation.process import Target
from caterva2.isolation.source import IsolatedSource
from caterva2.limits import DEFAULTS, Limits

MAKE = "caterva2.sources.hdf5.source:for_isolation"


def isolated_hdf5(path: Path, limits: Limits = DEFAULTS) -> IsolatedSource:
    """Open an HDF5 file in a process of its own.

    Parameters
    ----------
    path : Path
    limits : Limits, optional
        The groups ``publisher`` and ``isolation``.
    """
    given = {
        "reply_bytes": limits.publisher.reply_bytes,
        "converted_bytes": limits.publisher.converted_bytes,
    }
    target = Target(MAKE, path, given)
    return IsolatedSource(target, limits.isolation, limits.publisher.reply_bytes)
