"""A digest of all entries of a catalog, which a change makes anew at little cost.

The entries lie in buckets by their paths. A bucket's digest is of its entries in order, the
digest of the catalog is of those of all buckets: so a change digests the entries of one bucket.
"""

from __future__ import annotations

import hashlib
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable

import msgpack

from caterva2.model import Entry
from caterva2.names import DatasetPath

BUCKETS = 1024
_EMPTY = hashlib.sha256(b"").digest()


class EntriesDigest:
    """The digest of a catalog, datasets and groups alike.

    Parameters
    ----------
    entries : iterable of Entry
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._paths: list[list[DatasetPath]] = [[] for _ in range(BUCKETS)]
        self._digests = [_EMPTY] * BUCKETS
        found = {entry.path: entry for entry in entries}
        for path in found:
            self._paths[_bucket(path)].append(path)
        for number, paths in enumerate(self._paths):
            paths.sort()
            self._digests[number] = _digest(map(found.__getitem__, paths))

    @property
    def value(self) -> bytes:
        """The digest, in 32 bytes."""
        return hashlib.sha256(b"".join(self._digests)).digest()

    def work(self, count: int) -> int:
        """Return how many entries are looked at, about, if so many paths change."""
        return count + sum(map(len, self._paths)) * count // BUCKETS

    def change(
        self, paths: Iterable[DatasetPath], entry: Callable[[DatasetPath], Entry | None]
    ) -> bytes:
        """Note that some paths have other entries, or none, now; return the digest.

        Parameters
        ----------
        paths : iterable of DatasetPath
        entry : callable
            Gives the entry of any path.
        """
        touched: set[int] = set()
        for path in paths:
            number = _bucket(path)
            touched.add(number)
            self._keep(self._paths[number], path, entry(path) is not None)
        for number in touched:
            present = (entry(path) for path in self._paths[number])
            self._digests[number] = _digest(one for one in present if one is not None)
        return self.value

    @staticmethod
    def _keep(bucket: list[DatasetPath], path: DatasetPath, present: bool) -> None:
        at = bisect_left(bucket, path)
        known = at < len(bucket) and bucket[at] == path
        if present and not known:
            bucket.insert(at, path)
        elif known and not present:
            del bucket[at]


def _bucket(path: DatasetPath) -> int:
    return zlib.crc32(path.encode()) % BUCKETS


def _digest(entries: Iterable[Entry]) -> bytes:
    made = hashlib.sha256()
    pack = msgpack.Packer(use_bin_type=True).pack
    for one in entries:
        made.update(pack((one.path, one.kind, one.etag, one.size, float(one.mtime))))
    return made.digest()
