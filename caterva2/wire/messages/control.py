"""Requests to a broker, and their answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from caterva2.limits import constants
from caterva2.model import (
    Count,
    Endpoint,
    Fence,
    MirrorInfo,
    MirrorName,
    Model,
    Registration,
    Rights,
    Root,
    RootInfo,
    Token,
    TtlMs,
)
from caterva2.model.fields import TTL_MS
from caterva2.wire.messages.fields import VERSION, Error, Id


class Hello(Model):
    """Open a connection: agent and versions of the requester, its name if it is a mirror."""

    type: Literal["hello"] = "hello"
    id: Id = 0
    agent: Annotated[str, Field(max_length=128)] = ""
    mirror: MirrorName | Literal[""] = ""
    versions: Annotated[tuple[int, ...], Field(min_length=1, max_length=16)] = (VERSION,)


class BrokerHello(Model):
    """Answer of a broker to `Hello`: its instance and the ports for notes."""

    type: Literal["hello-ok"] = "hello-ok"
    id: Id
    v: int = VERSION
    binst: Token
    xsub: Endpoint
    xpub: Endpoint


class Register(Registration):
    """Request the lease of a root's name.

    ``former`` names the publisher's run that held it last.
    """

    type: Literal["register"] = "register"
    id: Id = 0
    takeover: bool = False
    former: Token | Literal[""] = ""


class Registered(Model):
    """A lease was granted or renewed; ``rights`` are those that are announced with it."""

    type: Literal["registered"] = "registered"
    id: Id
    root: Root
    fence: Count
    lease_ms: Count
    beat_ms: Count
    binst: Token
    rights: Rights = ""


class Mirror(MirrorInfo):
    """Announce a mirror of a root, or renew its lease.

    ``inst`` and ``fence`` are those of the root as the broker announced it. The answer is
    `Registered`.
    """

    type: Literal["mirror"] = "mirror"
    id: Id = 0
    root: Root
    inst: Token
    fence: Fence
    ttl_ms: TtlMs = TTL_MS


class Renew(Model):
    """Renew the leases that a mirror has of some roots as they are; the answer is `Renewed`."""

    type: Literal["renew"] = "renew"
    id: Id = 0
    mirror: MirrorName
    roots: Annotated[tuple[Root, ...], Field(min_length=1, max_length=constants.RENEWED_ROOTS)]
    ttl_ms: TtlMs = TTL_MS


class Renewed(Model):
    """The roots whose leases were renewed: of the others the mirror has none."""

    type: Literal["renewed"] = "renewed"
    id: Id
    binst: Token
    roots: Annotated[tuple[Root, ...], Field(max_length=constants.RENEWED_ROOTS)]


class Unmirror(Model):
    """End the lease of a mirror; the answer is `Pong`."""

    type: Literal["unmirror"] = "unmirror"
    id: Id = 0
    root: Root
    mirror: MirrorName


class Ping(Model):
    """Ask whether the broker lives."""

    type: Literal["ping"] = "ping"
    id: Id = 0


class Pong(Model):
    """Answer to `Ping`."""

    type: Literal["pong"] = "pong"
    id: Id
    binst: Token


class Unregister(Model):
    """Give back a lease."""

    type: Literal["unregister"] = "unregister"
    id: Id = 0
    root: Root
    inst: Token
    fence: Count


class SnapshotRequest(Model):
    """Request all roots of the broker."""

    type: Literal["snapshot?"] = "snapshot?"
    id: Id = 0


class Snapshot(Model):
    """Part ``part`` of ``parts`` of the leases of all roots at ``seq``.

    ``away`` are roots without a publisher that have mirrors.
    """

    type: Literal["snapshot"] = "snapshot"
    id: Id
    binst: Token
    seq: Count
    part: Count
    parts: Annotated[int, Field(ge=1, le=constants.SNAPSHOT_PARTS)]
    complete: bool
    roots: Annotated[tuple[RootInfo, ...], Field(max_length=constants.SNAPSHOT_ROOTS)]
    away: Annotated[tuple[RootInfo, ...], Field(max_length=constants.SNAPSHOT_ROOTS)] = ()


ControlRequest = Hello | Register | Mirror | Renew | Unmirror | Ping | Unregister | SnapshotRequest
ControlReply = BrokerHello | Registered | Renewed | Pong | Snapshot | Error
