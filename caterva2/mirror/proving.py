"""Proofs of what was cached before they were asked for: its source is asked for these alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from caterva2.arrays import selection
from caterva2.errors import CatervaError
from caterva2.frames import blocks
from caterva2.frames.chunk import MOST_OVERHEAD
from caterva2.runtime.single_flight import SingleFlight
from caterva2.signing import digests
from caterva2.signing.checks import Checks, Forged
from caterva2.subscriber.remote_dataset import RemoteDataset
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.wire import messages
from caterva2.wire.calls import Single
from caterva2.wire.messages import DataReply

_SECONDS = 30.0


class Proving:
    """Have the proofs of chunks of a root at hand.

    A chunk that is there is not sent again, a piece of a plain file is.

    Parameters
    ----------
    root : RemoteRoot
    """

    def __init__(self, root: RemoteRoot) -> None:
        self._root = root
        self._asking: SingleFlight[tuple[str, str, int], None] = SingleFlight()

    async def prove(self, dataset: RemoteDataset, ids: Sequence[int]) -> None:
        """Get the proofs that are missing of chunks that are there, as far as that is possible."""
        info, trust = dataset.info, self._root.trust
        if not trust.signs or self._root.offline:
            return
        lacking = await asyncio.to_thread(lambda: [n for n in ids if not dataset.proof(n)])
        if trust.has_dropped:
            lacking = [n for n in ids if n in lacking or not await self._counts(dataset, n)]
        for n in lacking:
            key = info.path, info.etag, n
            try:
                await self._asking.run(key, lambda n=n: self._prove(dataset, n))  # type: ignore[misc]
            except CatervaError:
                return  # the reader asks another one

    async def _counts(self, dataset: RemoteDataset, n: int) -> bool:
        """Return whether the proof of a chunk is by a key that counts."""
        digest, _ = await self._digests(dataset, n)
        try:
            await asyncio.to_thread(self._check, dataset, n, digest, dataset.proof(n))
        except Forged:
            return False
        return True

    def _check(self, dataset: RemoteDataset, n: int, digest: bytes, proof: bytes) -> None:
        checks = Checks(self._root.name, self._root.trust.keys)
        checks.chunk(dataset.info.path, dataset.info.etag, n, digest, proof)

    async def _digests(self, dataset: RemoteDataset, n: int) -> tuple[bytes, bytes]:
        """Return what is signed of a chunk, and the digest that it is offered by."""
        info = dataset.info
        if info.kind == "file":
            start, stop = n * info.chunksize, min((n + 1) * info.chunksize, info.nbytes)
            found = await dataset.values(selection.parse(f"{start}:{stop}", info.shape))
            return await asyncio.to_thread(lambda: digests.of_piece(found.tobytes())), b""
        [chunk] = await dataset.chunks(np.array([n]))
        return await asyncio.to_thread(lambda: (digests.of(chunk), blocks.digest(chunk)))

    async def _prove(self, dataset: RemoteDataset, n: int) -> None:
        info = dataset.info
        digest, held = await self._digests(dataset, n)
        asked = {"path": info.path, "etag": info.etag, "deadline_ms": int(_SECONDS * 1000)}
        request: messages.DataRequest
        if info.kind == "file":
            start, stop = n * info.chunksize, min((n + 1) * info.chunksize, info.nbytes)
            request = messages.BytesRequest.model_validate({**asked, "start": start, "stop": stop})
        else:
            request = messages.ChunksRequest.model_validate({**asked, "n": (n,), "held": (held,)})
        reply = await self._answer(request, info.chunksize)
        proof = b"".join(getattr(reply, "proofs", ())) or getattr(reply, "proof", b"")
        await asyncio.to_thread(self._check, dataset, n, digest, proof)
        await asyncio.to_thread(dataset.keep_proof, n, proof)

    async def _answer(self, request: messages.DataRequest, size: int) -> DataReply:
        call: Single[DataReply] = Single(request, time.monotonic() + _SECONDS)
        call.payload_most = size + MOST_OVERHEAD
        self._root.providers().submit(call)
        return await asyncio.wrap_future(call.future)
