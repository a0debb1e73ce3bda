"""What a publisher signs of its root, for those who ask for it."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterator

from caterva2.frames.raw import Cut, Run
from caterva2.limits.constants import FILE_CHUNK
from caterva2.model import DatasetInfo, Entry, Manifest, Signer
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.lease import Lease
from caterva2.runtime.uncancellable import in_thread
from caterva2.signing import proofs, statements
from caterva2.signing.entries import BUCKETS, EntriesDigest
from caterva2.signing.keys import SigningKey
from caterva2.sources.catalog import Step
from caterva2.sources.followed import FollowedSource

AT_ONCE = 4000
"""Entries from which on digesting them is work for a thread: these take 10 ms."""
FORGOTTEN = 100_000
"""Changed paths from which on the digest is not kept any longer: nothing asked for it meanwhile."""
_ROUNDS = 3
"""How often what changed while a thread was at work is left to a thread, too."""


class OriginSignatures:
    """Sign the catalog, the descriptions and the chunks of one root.

    Descriptions and chunks may be signed in any thread, the catalog on the loop.

    Parameters
    ----------
    root : RootName
    key : SigningKey
    """

    def __init__(self, root: RootName, key: SigningKey) -> None:
        self._root = root
        self._key = key.of(root)

    @property
    def signers(self) -> tuple[Signer, ...]:
        """The keys with which this origin signs."""
        return self._key.signers

    @functools.cached_property
    def sign(self) -> Callable[[bytes], bytes]:
        """The function that signs; the first use loads a library."""
        return self._key.signing()

    def described(self, info: DatasetInfo) -> DatasetInfo:
        """Return a description with its signature."""
        signature = self.sign(statements.description(self._root, info))
        return info.model_copy(update={"signature": signature})

    def chunks(self, path: DatasetPath, etag: str, run: Run) -> tuple[bytes, ...]:
        """Return a proof of each chunk that was read."""
        from caterva2.signing import digests  # needs numpy, which is not loaded at the start

        found = {n: digests.of(chunk) for n, chunk in zip(run.ids, run.chunks(), strict=True)}
        made = proofs.sign(self.sign, self._root, path, etag, found)
        return tuple(made[n] for n in run.ids)

    def blocks(self, path: DatasetPath, etag: str, run: Run, cut: Cut) -> tuple[Cut, bytes, bytes]:
        """Return what is sent of a chunk, its proof, and what is said of its blocks.

        A chunk of which nothing is said block by block is sent as a whole.
        """
        from caterva2.signing import digests

        [proof] = self.chunks(path, etag, run)
        leaves = digests.leaves(run.payload) if cut.ids else b""
        if cut.ids and not leaves:
            cut = Cut((), (), run.payload)
        return cut, proof, leaves

    def piece(self, path: DatasetPath, etag: str, start: int, data: bytes) -> bytes:
        """Return the proof of bytes of a plain file; none if they do not begin a chunk of it."""
        from caterva2.signing import digests

        n, into = divmod(start, FILE_CHUNK)
        if into or len(data) > FILE_CHUNK:
            return b""
        found = {n: digests.of_piece(data)}
        return proofs.sign(self.sign, self._root, path, etag, found)[n]


class CatalogSignatures:
    """Sign the states of a catalog.

    Nothing is digested before the first is asked for.

    Parameters
    ----------
    followed : FollowedSource
    lease : Lease
    signatures : OriginSignatures
    """

    def __init__(
        self, followed: FollowedSource, lease: Lease, signatures: OriginSignatures
    ) -> None:
        self._followed = followed
        self._lease = lease
        self._signatures = signatures
        self._digest: EntriesDigest | None = None
        self._changed: set[DatasetPath] = set()
        self._made: Manifest | None = None
        self._preparing = asyncio.Lock()
        followed.listen(self._on_steps)

    def _on_steps(self, steps: list[Step]) -> None:
        preparing = self._preparing.locked()
        if self._digest is not None or preparing:
            self._changed.update(step.path for step in steps)
        if len(self._changed) > FORGOTTEN and not preparing:
            self._digest, self._changed = None, set()

    async def prepare(self) -> None:
        """Have `manifest` at hand; only the first time takes long.

        A thread that was begun ends, so that a reader that gives up takes nothing from the next.
        """
        async with self._preparing:
            for _ in range(_ROUNDS):
                digest = self._digest
                if digest is not None and digest.work(len(self._changed)) <= AT_ONCE:
                    return
                changed, self._changed = self._changed, set()
                entries = dict(self._followed.entries)
                await in_thread(functools.partial(self._digested, entries, changed))

    def _digested(self, entries: dict[DatasetPath, Entry], changed: set[DatasetPath]) -> None:
        """Digest what changed, or everything if that is less work. Blocks."""
        _ = self._signatures.sign  # loads a library
        digest, self._digest = self._digest, None
        if digest is None or len(changed) > BUCKETS:
            digest = EntriesDigest(entries.values())
        else:
            digest.change(changed, entries.get)
        self._digest = digest

    def manifest(self) -> Manifest:
        """Return the catalog as it is now, signed; `prepare` has ended just before."""
        assert self._digest is not None
        lease, rev = self._lease, self._followed.rev
        made = self._made
        if made is not None and (made.inst, made.fence, made.rev) == (lease.inst, lease.fence, rev):
            return made
        changed, self._changed = self._changed, set()
        digest = self._digest.change(changed, self._followed.entries.get)
        bare = Manifest(
            inst=lease.inst, fence=lease.fence, rev=rev, time=time.time(), digest=digest,
            signature=bytes(64),
        )  # fmt: skip
        signature = self._signatures.sign(statements.manifest(lease.root, bare))
        self._made = bare.model_copy(update={"signature": signature})
        return self._made


def aligned(pieces: Iterator[bytes], start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a file so that pieces end where its chunks do."""
    held, at = bytearray(), start
    while at < stop:
        size = min(stop, (at // FILE_CHUNK + 1) * FILE_CHUNK) - at
        while len(held) < size:
            piece = next(pieces, b"")
            if not piece:
                return
            held += piece
        yield bytes(held[:size])
        del held[:size]
        at += size
