"""Types in the signatures of the client."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

Auth = tuple[str, str]
"""User name and password."""
RemotePath = str | PurePosixPath
"""``ROOT/PATH`` of a dataset, file or directory, or the name of a root."""
Local = str | os.PathLike[str] | bytes | BinaryIO
"""Content to upload: a path, the bytes themselves, or an open binary file."""
Deletion = bool | Literal["all"]
"""Whether to remove what is gone; with ``"all"`` also where nothing is left."""
Progress = Callable[[int, int | None], None]
"""Called with the bytes transferred and, if known, the bytes in total."""
