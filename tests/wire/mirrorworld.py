"""A publisher and mirrors of one source in memory, each with faults of its own, and a reader."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from wiretools import Router, zmq_context

from caterva2.cache.store import Store
from caterva2.errors import CatervaError, RootOffline
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import Manifest, MirrorInfo, Origin, RootInfo
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.signatures import OriginSignatures
from caterva2.signing import statements
from caterva2.signing.entries import EntriesDigest
from caterva2.signing.keys import SigningKey
from caterva2.sources.catalog import Ledger
from caterva2.sources.memory import MemorySource
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.subscriber.publishers.preferences import Preferences
from caterva2.subscriber.publishers.rights import PublishedRights
from caterva2.subscriber.publishers.watch import watch_publishers
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.subscriber.trust.options import TrustOptions
from caterva2.subscriber.trust.pins import Pins
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m

ROOT = RootName("foo")
INST = "i" * 16
PATH = DatasetPath("a.b2nd")
VALUES = np.arange(16_000, dtype="<i8").reshape(320, 50)
FENCE = 3
FIRST_USE = TrustOptions()


class Served:
    """A socket that answers as the publisher of a source does, or as a mirror of it.

    Attributes
    ----------
    silent, flipped : bool
        Whether it answers nothing; whether a byte of each chunk is another one.
    forges : bool
        Whether the digests are those of the flipped bytes.
    key : SigningKey or None
        With which what it sends is signed, as of the root ``signed_as``.
    tamper : callable
        Changes each reply.
    refuses : CatervaError or None
        What it answers to requests for chunks.
    drips : float
        Seconds after which it sends each page of its catalog, of which there is always one more.
    behind : int
        By how many revisions its catalog is older than the publisher's.
    """

    def __init__(self, context: sockets.Context, ledger: Ledger, source: MemorySource, name: str):
        self.name = name
        self.silent = self.flipped = self.forges = self.away = False
        self.behind, self.drips = 0, 0.0
        self.inst, self.fence = INST, FENCE
        self.refuses: CatervaError | None = None
        self.forged: tuple[Any, ...] = ()
        self.rights, self.readers = "", ()
        self.asked: list[str] = []
        self.key: SigningKey | None = None
        self.signed_as = ROOT
        self.tamper: Callable[[Any], Any] = lambda reply: reply
        self._ledger = ledger
        self._source = source
        self._context = context
        self.router = Router(context, self._answer)
        self.open = True

    def close(self) -> None:
        if self.open:
            self.open = False
            self.router.close()

    def again(self) -> None:
        """Listen again where it listened before."""
        self.router = Router(self._context, self._answer, self.router.endpoint)
        self.open = True

    def info(self) -> MirrorInfo:
        return MirrorInfo(mirror=self.name, endpoint=self.router.endpoint)

    def chunks(self) -> int:
        """Number of requests for chunks."""
        return self.asked.count("chunks?")

    def _answer(self, _: bytes, frames: list[bytes]) -> list[list[bytes]]:
        request = codec.data_requests(frames)
        if self.silent:
            return []
        self.asked.append(request.type)
        return [
            [bytes(frame) for frame in codec.encode(self.tamper(reply), payload)]
            for reply, *payload in self._replies(request)
        ]

    @property
    def signs(self) -> OriginSignatures | None:
        return OriginSignatures(self.signed_as, self.key) if self.key else None

    def manifest(self, rev: int) -> Manifest | None:
        """The catalog as it is now, signed as that of a revision."""
        if self.key is None:
            return None
        digest = EntriesDigest(self._ledger.entries.values()).value
        bare = Manifest(
            inst=self.inst, fence=self.fence, rev=rev, time=time.time(), digest=digest,
            signature=bytes(64),
        )  # fmt: skip
        signature = self.key.signing()(statements.manifest(self.signed_as, bare))
        return bare.model_copy(update={"signature": signature})

    def _replies(self, request: m.DataRequest) -> Iterable[tuple[Any, ...]]:
        ident, rev = request.id, self._ledger.rev - self.behind
        match request:
            case m.Hello():
                origin = Origin(
                    inst=self.inst, fence=self.fence, rev=rev, path=(self.name or "x",),
                    as_of=time.time(), away=self.away,
                )  # fmt: skip
                yield (
                    m.PublisherHello(
                        id=ident, inst=self.inst, fence=FENCE, root=ROOT, rev=rev,
                        rights=self.rights, readers=self.readers,
                        origin=origin if self.name else None,
                        signers=self.key.of(self.signed_as).signers if self.key else (),
                    ),
                )  # fmt: skip
            case m.CatalogRequest():
                page = self._ledger.page(ident, self.inst, request.since_rev, request.cursor)
                if self.drips:
                    time.sleep(self.drips)
                    cursor = f"{int(request.cursor or 0) + 1:06}"
                    page = page.model_copy(update={"cursor": cursor, "entries": ()})
                update = {"rev": rev, "entries": page.entries + self.forged}
                if request.signed:
                    update["manifest"] = self.manifest(rev)
                yield (page.model_copy(update=update),)
            case m.InfoRequest():
                info = self._source.info(request.path)
                if self.signs and request.signed:
                    info = self.signs.described(info)
                yield (m.Info(id=ident, **dict(info)),)
            case m.ChunksRequest() if self.refuses is not None:
                yield (codec.error_message(ident, self.refuses),)
            case m.ChunksRequest():
                yield from self._chunks(request)

    def _chunks(self, request: m.ChunksRequest) -> Iterable[tuple[Any, ...]]:
        for n in request.n:
            [run] = self._source.chunks(request.path, request.etag, [n])
            data = bytearray(run.payload)
            digest = zlib.crc32(data)
            data[-1] ^= self.flipped
            if self.forges:
                digest = zlib.crc32(data)
            proofs: tuple[bytes, ...] = ()
            if self.signs and request.signed:
                proofs = self.signs.chunks(request.path, request.etag, run)
            yield (
                m.Chunks(
                    id=request.id, n=(n,), sizes=(len(data),), digests=(digest,),
                    last=n == request.n[-1], proofs=proofs,
                ),
                bytes(data),
            )  # fmt: skip


class Broker:
    """What a subscriber sees of a broker that is always heard."""

    connected = True
    quiet = False


class World:
    """A publisher, mirrors, and a root that is read from them."""

    def __init__(
        self, context: sockets.Context, directory: Path, prefer: Sequence[str], limits: Limits,
        trust: TrustOptions, key: SigningKey | None,
    ) -> None:  # fmt: skip
        self._context = context
        self._key = key
        self.source = MemorySource()
        self.ledger = Ledger()
        self.rewrite(0)
        self.publisher = self._served("")
        self.mirrors: list[Served] = []
        self.store = Store(directory / "cache")
        self.rights = PublishedRights(directory / "rights.json")
        self.pool = ConnectionPool(preferences=Preferences(prefer), pins=Pins(None, trust))
        self.root = RemoteRoot(
            ROOT, context, self.store, directory, lambda *_: None,
            lambda _: RootOffline("away"), self.rights, self.pool, limits,
        )  # fmt: skip
        self.judged: list[RemoteRoot] = []
        self._watch = asyncio.create_task(
            watch_publishers(Broker(), {ROOT: self.root}, self.pool, self.judged.append)
        )

    def rewrite(self, plus: int) -> None:
        """Write the array anew."""
        array = blosc2.asarray(VALUES + plus, chunks=(8, 50), blocks=(4, 25), contiguous=True)
        self.source.put(PATH, array.to_cframe())
        self.ledger.replace("", self.source.scan())

    def _served(self, name: str) -> Served:
        made = Served(self._context, self.ledger, self.source, name)
        made.key = self._key
        return made

    def add(self, *names: str) -> list[Served]:
        """Add mirrors, and announce them."""
        self.mirrors += [self._served(name) for name in names]
        self.announce()
        return self.mirrors

    def announce(
        self, *, away: bool = False, rights: str = "", inst: str = INST, mirror: str = ""
    ) -> None:
        """Announce the root with the mirrors that there are."""
        self.root.move(
            RootInfo(
                root=ROOT,
                inst=inst,
                fence=FENCE,
                endpoints=(self.publisher.router.endpoint,),
                mirrors=tuple(one.info() for one in self.mirrors),
                away=away,
                rights=rights,
                mirror=mirror,
            )
        )

    async def read(self, *ids: int) -> None:
        """Fetch chunks of the newest version that the catalog has, and compare nothing."""
        info = await self.root.infos.one(PATH)
        replica = await self.root.replica(info)
        await self.root.ensure(replica, np.asarray(ids, np.int64))
        assert not len(replica.missing(np.asarray(ids, np.int64)))

    async def close(self) -> None:
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        for one in (self.publisher, *self.mirrors):
            one.close()
        await self.root.close()
        self.store.close()


@contextlib.asynccontextmanager
async def world(
    directory: Path, *names: str, prefer: Sequence[str] = (), limits: Limits = DEFAULTS,
    trust: TrustOptions = FIRST_USE, key: SigningKey | None = None,
    begin: Callable[[World], None] = lambda _: None,
) -> AsyncIterator[World]:  # fmt: skip
    """A world with some mirrors, whose root is subscribed to after a beginning."""
    with zmq_context() as context:
        made = World(context, directory, list(prefer), limits, trust, key)
        try:
            made.add(*names)
            begin(made)
            await made.root.subscribe()
            made.root.subscribed = True
            yield made
        finally:
            await made.close()
