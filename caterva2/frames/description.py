"""Description of a frame in an open file, without its chunks."""

from __future__ import annotations

import os
from typing import Literal

from caterva2.frames.reader import FrameReader
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath


def describe(fd: int, path: str, kind: Literal["array", "frame"]) -> DatasetInfo:
    """Describe the frame in an open file.

    Parameters
    ----------
    fd : int
        File descriptor; it stays open.
    path : str
        Path of the dataset, for the description.
    kind : {"array", "frame"}

    Raises
    ------
    SourceCorrupt
        If the file is not a frame of that kind.
    """
    reader = FrameReader(os.dup(fd))
    try:
        return reader.info(DatasetPath(path), kind, "file", 0.0)
    finally:
        reader.close()
