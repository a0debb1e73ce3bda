"""Models of all messages of the protocol; the ``type`` field is a message's name on the wire.

A name may belong to two messages of different channels: ``hello-ok`` of a broker and of a
publisher, ``beat`` of the broker and of a root.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from caterva2 import limits
from caterva2.model import (
    Count,
    DatasetInfo,
    Endpoint,
    Entry,
    Etag,
    Kind,
    Model,
    Path,
    Root,
    RootInfo,
    Size32,
    Token,
)

VERSION = 1
Id = Annotated[int, Field(ge=0, lt=2**53)]
Detail = Annotated[str, Field(max_length=4096)]
DeadlineMs = Annotated[int, Field(ge=1, le=int(limits.DEADLINE_MAX * 1000))]
ChunkIds = Annotated[tuple[Size32, ...], Field(min_length=1, max_length=limits.REQUEST_CHUNKS)]


class Credit(Model):
    """What a requester may have in flight with one publisher."""

    requests: Annotated[int, Field(ge=1, le=1024)] = limits.DEFAULTS.wire.credit
    chunks: Annotated[int, Field(ge=1, le=limits.REQUEST_CHUNKS)] = limits.REQUEST_CHUNKS
    bytes: Annotated[int, Field(ge=1)] = limits.REQUEST_BYTES


class Hello(Model):
    """Open a connection: agent and versions of the requester."""

    type: Literal["hello"] = "hello"
    id: Id = 0
    agent: Annotated[str, Field(max_length=128)] = ""
    versions: Annotated[tuple[int, ...], Field(min_length=1, max_length=16)] = (VERSION,)


class BrokerHello(Model):
    """Answer of a broker to `Hello`: its instance and the ports for notes."""

    type: Literal["hello-ok"] = "hello-ok"
    id: Id
    v: int = VERSION
    binst: Token
    xsub: Endpoint
    xpub: Endpoint


class Register(RootInfo):
    """Request the lease of a root's name."""

    type: Literal["register"] = "register"
    id: Id = 0
    takeover: bool = False


class Registered(Model):
    """A lease was granted or renewed."""

    type: Literal["registered"] = "registered"
    id: Id
    root: Root
    fence: Count
    lease_ms: Count
    beat_ms: Count
    binst: Token


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
    """Part ``part`` of ``parts`` of the leases of all roots at ``seq``."""

    type: Literal["snapshot"] = "snapshot"
    id: Id
    binst: Token
    seq: Count
    part: Count
    parts: Annotated[int, Field(ge=1, le=limits.SNAPSHOT_PARTS)]
    complete: bool
    roots: Annotated[tuple[RootInfo, ...], Field(max_length=limits.SNAPSHOT_ROOTS)]


class RootUp(RootInfo):
    """A root has a publisher now, or another one."""

    type: Literal["root-up"] = "root-up"
    seq: Count
    binst: Token


class RootDown(Model):
    """A root has no publisher any more."""

    type: Literal["root-down"] = "root-down"
    seq: Count
    binst: Token
    root: Root
    fence: Count
    reason: Literal["closed", "expired", "replaced"]


class BrokerBeat(Model):
    """The broker lives; ``seq`` is that of its last note."""

    type: Literal["beat"] = "beat"
    seq: Count
    binst: Token


class Change(Model):
    """A dataset was created, changed or deleted; ``rev`` counts the changes of its root."""

    type: Literal["change"] = "change"
    root: Root
    inst: Token
    fence: Count
    rev: Count
    op: Literal["put", "delete"]
    path: Path
    kind: Kind = "file"
    etag: Etag | Literal[""] = ""
    size: Count = 0
    mtime: float = 0.0

    @model_validator(mode="after")
    def _put_has_a_version(self) -> Self:
        if self.op == "put" and not self.etag:
            raise ValueError("a put names the new version")
        return self


class RootBeat(Model):
    """A publisher lives; ``rev`` is that of its last change."""

    type: Literal["beat"] = "beat"
    root: Root
    inst: Token
    fence: Count
    rev: Count


class PublisherHello(Model):
    """Answer of a publisher to `Hello`: its root, and the credit of a requester."""

    type: Literal["hello-ok"] = "hello-ok"
    id: Id
    v: int = VERSION
    inst: Token
    fence: Count
    root: Root
    rev: Count
    limits: Credit = Credit()


class CatalogRequest(Model):
    """Request all entries (``since_rev`` -1), or the changes after a revision."""

    type: Literal["catalog?"] = "catalog?"
    id: Id = 0
    inst: Annotated[str, Field(max_length=64)] = ""
    since_rev: Annotated[int, Field(ge=-1)] = -1
    cursor: Annotated[str, Field(max_length=limits.PATH_LENGTH)] = ""


class Catalog(Model):
    """A page of entries; a ``cursor`` that is not empty continues with the next page.

    With ``full`` the pages together are the whole catalog; without it they are the changed
    entries, and ``deleted`` names the deleted paths.
    """

    type: Literal["catalog"] = "catalog"
    id: Id
    inst: Token
    rev: Count
    full: bool
    cursor: Annotated[str, Field(max_length=limits.PATH_LENGTH)] = ""
    entries: Annotated[tuple[Entry, ...], Field(max_length=2000)]
    deleted: Annotated[tuple[Path, ...], Field(max_length=2000)] = ()


class InfoRequest(Model):
    """Request the description of a dataset."""

    type: Literal["info?"] = "info?"
    id: Id = 0
    path: Path


class Info(DatasetInfo):
    """Description of a dataset."""

    type: Literal["info"] = "info"
    id: Id


class InfosRequest(Model):
    """Request the descriptions of several datasets."""

    type: Literal["infos?"] = "infos?"
    id: Id = 0
    paths: Annotated[tuple[Path, ...], Field(min_length=1, max_length=limits.REQUEST_INFOS)]


class Refused(Model):
    """The reason why a dataset is not described; ``name`` is that of an error."""

    path: Path
    name: Annotated[str, Field(max_length=64)]
    detail: Detail


class Infos(Model):
    """Descriptions of the first ``done`` of the requested datasets."""

    type: Literal["infos"] = "infos"
    id: Id
    done: Annotated[int, Field(ge=1, le=limits.REQUEST_INFOS)]
    infos: Annotated[tuple[DatasetInfo, ...], Field(max_length=limits.REQUEST_INFOS)]
    refused: Annotated[tuple[Refused, ...], Field(max_length=limits.REQUEST_INFOS)] = ()

    @model_validator(mode="after")
    def _each_counts_once(self) -> Self:
        if self.done != len(self.infos) + len(self.refused):
            raise ValueError("done is not the number of infos and refused")
        return self


class ChunksRequest(Model):
    """Request raw chunks of an array or frame."""

    type: Literal["chunks?"] = "chunks?"
    id: Id = 0
    path: Path
    etag: Etag
    n: ChunkIds
    deadline_ms: DeadlineMs


class Chunks(Model):
    """Raw chunks, concatenated in one payload frame.

    ``sizes`` are their bytes, ``digests`` the CRC-32 of each.
    """

    type: Literal["chunks"] = "chunks"
    id: Id
    n: ChunkIds
    sizes: ChunkIds
    digests: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**32)], ...],
        Field(min_length=1, max_length=limits.REQUEST_CHUNKS),
    ]
    last: bool


class ChunkBlocks(Model):
    """Some blocks of one chunk."""

    n: Size32
    ids: Annotated[tuple[Size32, ...], Field(min_length=1, max_length=limits.REQUEST_BLOCKS)]


class BlocksRequest(Model):
    """Request single blocks of some chunks of an array."""

    type: Literal["blocks?"] = "blocks?"
    id: Id = 0
    path: Path
    etag: Etag
    blocks: Annotated[tuple[ChunkBlocks, ...], Field(min_length=1, max_length=limits.BLOCKS_CHUNKS)]
    deadline_ms: DeadlineMs

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if sum(len(part.ids) for part in self.blocks) > limits.REQUEST_BLOCKS:
            raise ValueError(f"more than {limits.REQUEST_BLOCKS} blocks are requested at once")
        for part in self.blocks:
            if len(set(part.ids)) < len(part.ids):
                raise ValueError(f"a block of chunk {part.n} is requested twice")
        return self


class Blocks(Model):
    """Blocks of one chunk: its header, then each stored block, in one payload frame.

    Without ``ids`` the payload is the whole chunk, which can't be divided.
    """

    type: Literal["blocks"] = "blocks"
    id: Id
    n: Size32
    ids: Annotated[tuple[Size32, ...], Field(max_length=limits.REQUEST_BLOCKS)] = ()
    sizes: Annotated[tuple[Size32, ...], Field(max_length=limits.REQUEST_BLOCKS)] = ()
    digest: Annotated[int, Field(ge=0, lt=2**32)]
    last: bool


class BytesRequest(Model):
    """Request the bytes ``start`` to ``stop`` of a plain file."""

    type: Literal["bytes?"] = "bytes?"
    id: Id = 0
    path: Path
    etag: Etag
    start: Count
    stop: Count
    deadline_ms: DeadlineMs


class Bytes(Model):
    """Bytes of a plain file, in one payload frame."""

    type: Literal["bytes"] = "bytes"
    id: Id
    start: Count
    digest: Annotated[int, Field(ge=0, lt=2**32)]
    last: bool


class Cancel(Model):
    """The requester does not wait for the answer to this id any more."""

    type: Literal["cancel"] = "cancel"
    id: Id


class Error(Model):
    """The request failed."""

    type: Literal["error"] = "error"
    id: Id
    code: int
    name: Annotated[str, Field(max_length=64)]
    retry: Literal["no", "now", "later"]
    after_ms: Count = 0
    detail: Detail
    info: dict[str, str | int] = {}


ControlRequest = Hello | Register | Ping | Unregister | SnapshotRequest
ControlReply = BrokerHello | Registered | Pong | Snapshot | Error
DataRequest = (
    Hello
    | CatalogRequest
    | InfoRequest
    | InfosRequest
    | ChunksRequest
    | BlocksRequest
    | BytesRequest
    | Cancel
)
DataReply = PublisherHello | Catalog | Info | Infos | Chunks | Blocks | Bytes | Error
RootsNote = RootUp | RootDown | BrokerBeat
RootNote = Change | RootBeat
Request = ControlRequest | DataRequest
Reply = ControlReply | DataReply
Message = Request | Reply | RootsNote | RootNote
