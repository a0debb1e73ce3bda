"""The objects that belong to an array, and whether one that was read is still the listed one.

An object that is missing stands for the fill value, so one that is removed must not be taken for
one that never was. Of each object 16 bytes are kept: digests of its key, and of key and stamp.
"""

from __future__ import annotations

import hashlib
import heapq
import re
import time
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caterva2.limits import constants
from caterva2.sources import versions
from caterva2.sources.layout import Refused
from caterva2.stores.store import ODD, Stamp, Store

CHUNK_KEY = re.compile(r"(?:c[./])?[0-9]+(?:[./][0-9]+){0,31}|c")
FOLDER = re.compile(r"c|[0-9]+")
SAMPLES = 4
"""Keys of objects that are looked at to learn how an array is stored."""
Digests = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Contents:
    """The objects of an array at a time.

    ``version`` differs whenever one of them does; ``samples`` are the first keys in their order.
    """

    version: str
    samples: tuple[str, ...]
    size: int
    mtime: float
    seen: float
    is_settled: bool
    _keys: Digests
    _stamps: Digests

    def has(self, key: str) -> bool:
        """Return whether there is an object of a key."""
        return _holds(self._keys, _digest(key))

    def is_of(self, key: str, stamp: Stamp) -> bool:
        """Return whether an object that was read is the one that is listed."""
        same = _holds(self._stamps, _digest(f"{key}\0{stamp.text}"))
        return same and stamp.is_settled(self.seen)


def _digest(text: str) -> int:
    raw = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(raw, "little")


def _holds(digests: Digests, digest: int) -> bool:
    at = int(np.searchsorted(digests, np.uint64(digest)))
    return at < len(digests) and int(digests[at]) == digest


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects of an array by their digests, and all files right below its prefix.

    ``samples`` are the first keys of chunks in their order. ``seen`` is the time when all was
    listed, and ``is_settled`` says that no chunk was written within one tick of the clock before.
    """

    files: dict[str, Stamp]
    samples: tuple[str, ...]
    size: int
    mtime: float
    is_settled: bool
    seen: float
    keys: Digests
    stamps: Digests

    def with_metadata(self, names: Collection[str]) -> Contents:
        """Return the contents; some of the files are metadata, which was read since."""
        now = time.time()
        read = {name: self.files[name] for name in names}
        whole = hashlib.blake2b(self.stamps.tobytes(), digest_size=12)
        whole.update(repr(sorted((name, stamp.text) for name, stamp in read.items())).encode())
        return Contents(
            whole.hexdigest(), self.samples, self.size,
            max([self.mtime, *(stamp.mtime for stamp in read.values())]), self.seen,
            self.is_settled and all(stamp.is_settled(self.seen, now) for stamp in read.values()),
            self.keys, self.stamps,
        )  # fmt: skip


def listed(store: Store, prefix: str) -> Listing:
    """List the objects of an array.

    Raises
    ------
    Refused
        If there is a link among its chunks, or they are too many.
    """
    keys, stamps, samples = list[int](), list[int](), list[str]()
    files, size, mtime, changed = dict[str, Stamp](), 0, 0.0, set[float]()
    since = time.time() - versions.TICK
    for key, stamp in store.below(prefix, lambda name: FOLDER.fullmatch(name) is not None):
        if not CHUNK_KEY.fullmatch(key):
            if "/" not in key:
                files[key] = stamp
            continue
        if stamp.text == ODD:
            raise Refused(f"has a link or a device among its chunks, {key}")
        if len(keys) >= constants.CHUNK_COUNT:
            raise Refused(f"has more than {constants.CHUNK_COUNT} objects")
        keys.append(_digest(key))
        stamps.append(_digest(f"{key}\0{stamp.text}"))
        samples.append(key)
        if len(samples) > 1000:
            samples = heapq.nsmallest(SAMPLES, samples)
        size, mtime = size + stamp.size, max(mtime, stamp.mtime)
        if stamp.changed > since:
            changed.add(stamp.changed)
    seen = time.time()
    settled = not any(seen - versions.TICK < at <= seen for at in changed)
    of_keys, of_stamps = np.array(keys, np.uint64), np.array(stamps, np.uint64)
    of_keys.sort()
    of_stamps.sort()
    first = tuple(heapq.nsmallest(SAMPLES, samples))
    return Listing(files, first, size, mtime, settled, seen, of_keys, of_stamps)
