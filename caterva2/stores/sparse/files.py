"""The files of a sparse frame at a time, and whether one that is read is still the listed one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from caterva2.errors import NotFound, SourceCorrupt
from caterva2.formats.blosc2_trees import SPARSE
from caterva2.sources import versions
from caterva2.stores.store import ODD, Stamp, stamp_of

FILES = 2**18
"""Files of a sparse frame: listing them takes a second and a half, and 20 bytes each are kept."""
_CHUNK = re.compile(r"[0-9A-F]{8}\.chunk")
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a sparse frame at a time.

    Attributes
    ----------
    version : str
        Differs whenever one of them does.
    main : Stamp
        Of the file with all but the chunks.
    numbers, sizes : ndarray of int64
        The numbers of the files with chunks, in their order, and their bytes.
    others : int
        Files that are none of the frame.
    mtime : float
    is_settled : bool
        Whether any later change will be seen.
    """

    version: str
    main: Stamp
    numbers: Numbers
    sizes: Numbers
    others: int
    mtime: float
    is_settled: bool
    _stamps: npt.NDArray[np.uint64]

    @property
    def size(self) -> int:
        return self.main.size + int(self.sizes.sum())

    def has(self, name: str, stamp: Stamp) -> bool:
        """Return whether a file that was read is the one that is listed."""
        if name == SPARSE:
            return stamp.text == self.main.text
        number = int(name[:8], 16)
        at = int(np.searchsorted(self.numbers, number))
        return (
            at < len(self.numbers)
            and int(self.numbers[at]) == number
            and int(self._stamps[at]) == _digest(stamp)
        )


def name_of(number: int) -> str:
    """Return the name of a file with a chunk."""
    return f"{number:08X}.chunk"


def listed(directory: Path, most: int = FILES) -> Files:
    """List the files of a sparse frame, of which there may be ``most``.

    Raises
    ------
    NotFound
        If it is gone.
    SourceCorrupt
        If it can't be listed, has too many files, or links among them.
    """
    seen = time.time()
    main, found, others = None, list[tuple[int, int, int]](), 0
    changed = mtime = 0.0
    for count, (name, stamp) in enumerate(_stamps(directory)):
        if count >= most:
            raise SourceCorrupt(f"it has more than {most} files")
        if name != SPARSE and not _CHUNK.fullmatch(name):
            others += 1
            continue
        if stamp.text == ODD:
            raise SourceCorrupt(f"{name} is a link or a device")
        changed, mtime = max(changed, stamp.changed), max(mtime, stamp.mtime)
        if name == SPARSE:
            main = stamp
        else:
            found.append((int(name[:8], 16), stamp.size, _digest(stamp)))
    if main is None:
        raise NotFound(f"there is no {SPARSE}")
    found.sort()
    numbers, sizes, stamps = zip(*found, strict=True) if found else ((), (), ())
    made = np.array(numbers, np.int64), np.array(sizes, np.int64), np.array(stamps, np.uint64)
    whole = hashlib.blake2b(main.text.encode(), digest_size=12)
    whole.update(made[0].tobytes() + made[2].tobytes())
    settled = not 0 <= seen - changed < versions.TICK
    return Files(whole.hexdigest(), main, made[0], made[1], others, mtime, settled, made[2])


def _stamps(directory: Path) -> Iterator[tuple[str, Stamp]]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    yield entry.name, stamp_of(entry.stat(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("the directory does not exist") from None
    except OSError as error:
        raise SourceCorrupt(f"it can't be listed: {error.strerror}") from None


def _digest(stamp: Stamp) -> int:
    return int.from_bytes(hashlib.blake2b(stamp.text.encode(), digest_size=8).digest(), "little")


def read(directory: Path, name: str, start: int, stop: int) -> tuple[bytes, Stamp] | None:
    """Return bytes of a file and its stamp, None if it is gone; a link is not followed."""
    try:
        fd = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        data = os.pread(fd, stop - start, start)
        return data, stamp_of(os.fstat(fd))
    finally:
        os.close(fd)
