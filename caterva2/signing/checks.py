"""Check what is said to be an origin's: catalogs, descriptions, chunks, blocks, pieces of files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from caterva2.errors import SourceCorrupt
from caterva2.model import DatasetInfo, Manifest
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.lru import Lru
from caterva2.signing import keys, proofs, statements

TREES = 4096
"""Signatures of trees that were checked and are remembered: one is of many chunks."""


class Forged(SourceCorrupt):
    """Something was not signed by the origin that it is said to be from."""


class Checks:
    """Check against the keys of a root's origin. May be used in any thread.

    Parameters
    ----------
    root : RootName
    trusted : iterable of str
        Public keys.
    on_refused : callable, optional
        Called with the reason of each error, in any thread.

    Attributes
    ----------
    trusted : frozenset of str
    """

    def __init__(
        self,
        root: RootName,
        trusted: Iterable[str],
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._root = root
        self.trusted = frozenset(trusted)
        self._on_refused = on_refused
        self._lock = threading.Lock()
        self._known: Lru[bytes, bytes] = Lru(TREES)

    def refused(self, why: str) -> Forged:
        """Make the error of something that is not the origin's, which is counted."""
        self._on_refused(why)
        return Forged(why)

    def _check(self, what: str, statement: bytes, signature: bytes) -> None:
        if not signature:
            raise self.refused(f"{what} is not signed by the origin of {self._root}")
        if not keys.signed_by(self.trusted, signature, statement):
            raise self.refused(
                f"{what} is signed by none of the keys of the origin of {self._root}"
            )

    def manifest(self, found: Manifest | None) -> Manifest:
        """Return a signed state of the catalog; raise `Forged` if it is none."""
        if found is None:
            raise self.refused(f"the catalog is not signed by the origin of {self._root}")
        self._check("the catalog", statements.manifest(self._root, found), found.signature)
        return found

    def description(self, info: DatasetInfo) -> None:
        """Raise `Forged` unless the origin signed a description."""
        said = statements.description(self._root, info)
        self._check(f"the description of {info.path}", said, info.signature)

    def chunk(self, path: DatasetPath, etag: str, n: int, digest: bytes, proof: bytes) -> None:
        """Raise `Forged` unless a chunk of this digest, or a piece, is one of a version.

        Parameters
        ----------
        path, etag, n
            The dataset, its version, and the number of the chunk.
        digest : bytes
            See `signing.digests`.
        proof : bytes
        """
        what = f"chunk {n} of {path}"
        if not proof:
            raise self.refused(f"{what} is not signed by the origin of {self._root}")
        try:
            found = proofs.statement(self._root, path, etag, n, digest, proof)
        except ValueError:
            raise self.refused(f"{what} has a proof that is none") from None
        statement, signature = found
        with self._lock:
            if self._known.get(statement) is not None:
                return
        self._check(what, statement, signature)
        with self._lock:
            self._known.put(statement, signature)

    def blocks(
        self,
        dataset: tuple[DatasetPath, str],
        n: int,
        found: tuple[bytes, Sequence[int], Sequence[bytes]],
        leaves: bytes,
        proof: bytes,
    ) -> None:
        """Raise `Forged` unless some blocks are of a chunk of a version.

        Parameters
        ----------
        dataset : tuple
            Its path, and the version.
        n : int
        found : tuple
            The header of the chunk, the numbers of the blocks, and these.
        leaves, proof : bytes
            What is said of all blocks of the chunk, and that the chunk is one of the version.
        """
        from caterva2.signing import digests

        header, ids, blocks = found
        path, etag = dataset
        self.chunk(path, etag, n, digests.of_leaves(header, leaves), proof)
        if not digests.have(leaves, ids, blocks):
            raise self.refused(
                f"blocks of chunk {n} of {path} are not those that the origin signed"
            )
