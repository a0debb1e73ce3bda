"""The file which says that there are special roots, so that their loss does not go unnoticed.

It stands beside their directory, which may be a mount point: where that is not mounted, the special
roots would be empty, and everything that users had stored would be gone without a word.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from caterva2.errors import StartError
from caterva2.runtime import statefile

log = logging.getLogger(__name__)
FORMAT = 1
"""Of the file, and of the directories that it stands for."""
KEPT = ("public", "shared", "personal")
"""Directories with data of users."""
_LOST = "nothing is lost, it is written again"


def check(directory: Path) -> None:
    """Check that the special roots of an earlier run are there.

    Raises
    ------
    StartError
        If a directory of theirs is missing, or a newer version of this program made them.
    """
    marker, lost = _marker(directory), missing(directory)
    if lost is not None:
        raise StartError(
            f"{lost} is missing, which held special roots: mount or restore it; "
            f"to start with empty special roots, remove {marker}"
        )
    statefile.read(marker, FORMAT, _roots, _LOST)


def missing(directory: Path) -> Path | None:
    """Return a directory of special roots that is not there, but was; None if there is none."""
    lost = [directory / name for name in KEPT if not (directory / name).is_dir()]
    return lost[0] if lost and _marker(directory).exists() else None


def write(directory: Path) -> None:
    """Note that there are special roots, unless that is noted; a failure is logged. Blocks."""
    marker = _marker(directory)
    if marker.exists():
        return
    try:
        statefile.write(marker, FORMAT, {"roots": KEPT})
    except OSError as error:
        log.warning("%s can't be written: %s", marker, error)


def _marker(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.json")


def _roots(_: int, content: Any) -> list[str]:
    return [str(name) for name in content["roots"]]
