"""The objects that belong to an array, and whether one that was read is still the listed one.

An object that is missing stands for the fill value, so one that is removed must not be taken for
one that never was. Of each object 16 bytes are kept: digests of its key, and of key and stamp.
"""

from __future__ import annotations

import hashlib
import heapq
import re
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caterva2.limits import constants
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


def listed(store: Store, prefix: str, metadata: dict[str, Stamp]) -> Contents:
    """List the objects of an array.

    Parameters
    ----------
    store : Store
    prefix : str
        The array's.
    metadata : dict
        Stamps of its files of metadata.

    Raises
    ------
    Refused
        If there is a link among them, or they are too many.
    """
    seen = time.time()
    keys, stamps, samples = list[int](), list[int](), list[str]()
    size, settled = 0, all(stamp.is_settled(seen) for stamp in metadata.values())
    mtime = max((stamp.mtime for stamp in metadata.values()), default=0.0)
    for key, stamp in store.below(prefix, lambda name: FOLDER.fullmatch(name) is not None):
        if not CHUNK_KEY.fullmatch(key):
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
        settled = settled and stamp.is_settled(seen)
    of_keys, of_stamps = np.array(keys, np.uint64), np.array(stamps, np.uint64)
    of_keys.sort()
    of_stamps.sort()
    whole = hashlib.blake2b(of_stamps.tobytes(), digest_size=12)
    whole.update(repr(sorted((name, stamp.text) for name, stamp in metadata.items())).encode())
    return Contents(
        whole.hexdigest(), tuple(heapq.nsmallest(SAMPLES, samples)), size, mtime, seen, settled,
        of_keys, of_stamps,
    )  # fmt: skip
