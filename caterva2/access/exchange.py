"""Requests of subscribers that take their roots from this one, with the rights of a user."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable

from caterva2.accounts import readers
from caterva2.accounts.policy import ReadRights
from caterva2.errors import (
    BadMessage,
    BadRequest,
    Busy,
    CatervaError,
    DeadlineExceeded,
    Internal,
    NotAllowed,
    NotFound,
)
from caterva2.limits import DEFAULTS, Limits
from caterva2.limits.constants import MIRROR_HOPS
from caterva2.mirror.answers import RootAnswers
from caterva2.model import Origin, RootInfo, User
from caterva2.names import RootName
from caterva2.runtime.fair_shares import FairShares
from caterva2.runtime.single_flight import SingleFlight
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.subscriber.service import Subscriber
from caterva2.wire import codec, exchange, messages
from caterva2.wire.messages import DataReply, PublisherHello

log = logging.getLogger(__name__)
_RETRY_MS = 100
_TOGETHER = 50
"""Roots that are described at once."""


class Exchanges:
    """Answer requests of the wire protocol that came by HTTP.

    Payload on its way is bounded for each user or address, and in all.

    Parameters
    ----------
    subscriber : Subscriber
    limits : Limits
    """

    def __init__(self, subscriber: Subscriber, limits: Limits = DEFAULTS) -> None:
        self._subscriber = subscriber
        self._limits = limits
        bounds = limits.publisher
        self._shares: FairShares[str] = FairShares(bounds.all_bytes, bounds.share_bytes)
        self._syncing: SingleFlight[RootName, None] = SingleFlight()

    def of(self, policy: ReadRights, user: User | None) -> Exchange:
        """Return the exchange of one user."""
        given = self._subscriber, self._shares, policy, user, self._limits
        return Exchange(*given, self._syncing)


class Exchange:
    """The requests of one user, or of readers without login.

    Parameters
    ----------
    subscriber : Subscriber
    shares : FairShares
    policy : ReadRights
    user : User or None
    limits : Limits
    syncing : SingleFlight, optional
        Of all users: catalogs are brought in step for requests of versions that are not known.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        shares: FairShares[str],
        policy: ReadRights,
        user: User | None,
        limits: Limits,
        syncing: SingleFlight[RootName, None] | None = None,
    ) -> None:
        self._subscriber = subscriber
        self._shares = shares
        self._policy = policy
        self._user = user
        self._limits = limits
        self._syncing = syncing

    async def hellos(self) -> AsyncGenerator[bytes]:
        """Yield what a publisher would answer to a hello, for all roots that the user may read."""
        names = [one.name for one in self._subscriber.roots() if not one.name.is_special]
        for start in range(0, len(names), _TOGETHER):
            some = names[start : start + _TOGETHER]
            found = [self._hello(n, 0) for n in some if self._policy.may_read(self._user, n)]
            yield b"".join(framed(hello) for hello in found if hello is not None)
            await asyncio.sleep(0)  # there may be thousands

    async def answer(self, root: RootName, body: bytes, share: str) -> AsyncGenerator[bytes]:
        """Begin to answer a request about a root that the user may read.

        Parameters
        ----------
        root : RootName
        body : bytes
            The header of the request; empty for a hello.
        share : str
            What its payload counts against where there is no user.

        Raises
        ------
        BadRequest
            If it is no request.
        """
        header = body or codec.encode(messages.Hello())[1]
        try:
            request = codec.data_requests((codec.MAGIC, header))
        except BadMessage as error:
            raise BadRequest(f"the body is no request: {error.detail}") from None
        opened = await self._subscriber.followed(root)
        if isinstance(request, messages.Hello):
            hello = self._hello(root, request.id)
            if hello is None:
                raise NotFound(f"{root} not known by the broker")
            return _one(framed(hello))
        if isinstance(request, messages.RootRequest) and request.signed:
            opened.trust.ask()
        answers = RootAnswers(self._subscriber, opened, self._limits, self._syncing)
        share = self._user.ident if self._user else share
        return self._pieces(root, answers, request, share)

    async def _pieces(
        self, root: RootName, answers: RootAnswers, request: messages.DataRequest, share: str
    ) -> AsyncGenerator[bytes]:
        """Yield the replies to a request; an error is one of them."""
        found = answers.to(request)
        try:
            self._check(root, request)
            size = self._size(request)
            while True:
                with await self._shares.take(share, size, self._limits.publisher.idle) as room:
                    answer = await anext(found, None)
                if answer is None:
                    return
                if not self._policy.may_read(self._user, root):  # any more
                    raise NotFound(f"{root} not known by the broker")
                try:
                    reply, payload = answer
                    room.grow(len(payload))
                    yield framed(reply, len(payload))
                    if payload:
                        yield payload
                finally:
                    room.release()
        except TimeoutError:
            yield framed(codec.error_message(request.id, DeadlineExceeded("it took too long")))
        except CatervaError as error:
            log.info("an exchange about %s: %s", root, error)
            yield framed(codec.error_message(request.id, error))
        except Exception as error:
            log.exception("an exchange about %s failed", root)
            failure = Internal(f"{type(error).__name__} at the upstream")
            yield framed(codec.error_message(request.id, failure))
        finally:
            await found.aclose()

    def _size(self, request: messages.DataRequest) -> int:
        small = isinstance(request, messages.CatalogRequest | messages.InfoRequest)
        return self._limits.publisher.reply_bytes if not small else 0

    def _check(self, root: RootName, request: messages.DataRequest) -> None:
        """Raise an error unless the sender applies the readers that are in force, if any."""
        if not isinstance(request, messages.RootRequest):
            return
        rights = self._rights(root)[0]
        if request.rights is None and rights:
            raise NotAllowed("not everybody may read this root: say who does")
        if rights and request.rights != rights:
            raise Busy("who may read this root has changed", after_ms=_RETRY_MS)

    def _rights(self, root: RootName) -> tuple[str, tuple[str, ...]]:
        """Return the name of the rights to a root, and its readers as far as the user may know.

        A root that needs a login here is shown to the user alone: others are for the policy of
        the subscriber that takes it.
        """
        if self._user is None or self._policy.may_read(None, root):
            return "", ()
        named = frozenset({str(self._user.email)})
        return readers.rights_of(named, _no_keys), tuple(named)

    def _hello(self, root: RootName, number: int) -> PublisherHello | None:
        opened, where = self._subscriber.found(root)
        if opened is not None and opened.known:
            inst, rev, fence = opened.catalog.inst, opened.revision, opened.catalog.fence
        elif where is not None:
            inst, rev, fence = where.inst, 0, where.fence
        else:
            return None
        away = where is None or (opened is not None and opened.offline) or where.inst != inst
        as_of = opened.heard or 0.0 if opened else 0.0
        origin = self._origin(root, opened, where, Origin(
            inst=inst, fence=fence, rev=rev, path=(), as_of=as_of, away=away,
        ))  # fmt: skip
        if origin is None:
            return None
        rights, named = self._rights(root)
        return PublisherHello(
            id=number, inst=inst, fence=fence, root=root, rev=rev,
            limits=messages.Credit(bytes=self._limits.publisher.request_bytes),
            rights=rights, readers=named, origin=origin,
            signers=opened.trust.shown if opened is not None else (),
        )  # fmt: skip

    def _origin(
        self, root: RootName, opened: RemoteRoot | None, where: RootInfo | None, own: Origin
    ) -> Origin | None:
        """Return where the data of a root is from; None if it has come too far already."""
        pool = self._subscriber.connections
        source = None
        if pool.upstream is not None and where is not None and where.by_http:
            source = pool.upstream.origin(root)
        if source is None and opened is not None and opened.catalog.greeting is not None:
            source = opened.catalog.greeting.origin
        path = (*(source.path if source else ()), pool.name_of(root))
        if len(path) > MIRROR_HOPS:
            return None
        fields: dict[str, object] = {"path": path}
        if source is not None and source.away:
            fields |= {"away": True, "as_of": source.as_of}
        return own.model_copy(update=fields)


def framed(reply: DataReply, payload: int = 0) -> bytes:
    """Return a reply as it stands in front of its payload."""
    return exchange.begin(bytes(codec.encode(reply)[1]), payload)


async def _one(piece: bytes) -> AsyncGenerator[bytes]:
    yield piece


def _no_keys(_holder: str) -> Iterable[str]:
    return ()
