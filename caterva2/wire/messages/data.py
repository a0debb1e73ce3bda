"""Requests to a publisher, and their answers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from caterva2 import limits
from caterva2.limits import constants
from caterva2.model import (
    Count,
    DatasetInfo,
    Entry,
    Etag,
    Manifest,
    Model,
    Origin,
    Path,
    Rights,
    Root,
    Signer,
    Size32,
    Token,
)
from caterva2.wire.messages.control import Hello
from caterva2.wire.messages.fields import VERSION, DeadlineMs, Detail, Error, Id

Digest = Annotated[bytes, Field(max_length=16)]
"""Digest of a chunk, see `frames.blocks.digest`, or empty."""
Proof = Annotated[bytes, Field(max_length=constants.PROOF_BYTES)]
"""That a chunk is one of a version, see `signing.proofs`, or empty."""
ChunkIds = Annotated[tuple[Size32, ...], Field(min_length=1, max_length=constants.REQUEST_CHUNKS)]


class Credit(Model):
    """Bounds of the requests that one requester may have in flight."""

    requests: Annotated[int, Field(ge=1, le=1024)] = limits.DEFAULTS.wire.credit
    chunks: Annotated[int, Field(ge=1, le=constants.REQUEST_CHUNKS)] = constants.REQUEST_CHUNKS
    bytes: Annotated[int, Field(ge=1)] = constants.REQUEST_BYTES


Reader = Annotated[str, Field(min_length=1, max_length=constants.READER_LENGTH)]


class PublisherHello(Model):
    """Answer of a publisher to `Hello`: its root, and the credit of a requester.

    Where there are ``rights``, ``readers`` may read the root: ``public``, ``users``, addresses of
    users, and ``group:NAME``. Other words stand for no reader. A mirror gets ``all_readers``, those
    at other holders of keys included. ``origin`` is None of a publisher
    itself; a mirror has its publisher's ``inst`` and ``rev``, and the ``fence`` of the lease that
    it is reached by. ``signers`` are the keys with which the publisher signs.
    """

    type: Literal["hello-ok"] = "hello-ok"
    id: Id
    v: int = VERSION
    inst: Token
    fence: Count
    root: Root
    rev: Count
    limits: Credit = Credit()
    rights: Rights = ""
    readers: Annotated[tuple[Reader, ...], Field(max_length=constants.READERS)] = ()
    all_readers: Annotated[tuple[Reader, ...], Field(max_length=constants.READERS)] = ()
    origin: Origin | None = None
    signers: Annotated[tuple[Signer, ...], Field(max_length=constants.SIGNERS)] = ()

    @property
    def is_away(self) -> bool:
        """Whether the mirror that says this can't reach the publisher."""
        return self.origin is not None and self.origin.away


class RootRequest(Model):
    """Request for something of the root.

    ``rights`` are those that the requester applies to the readers of the answer; None is sent by
    requesters that know of none. With ``signed`` the answer has what the origin signed of it.
    """

    id: Id = 0
    rights: Rights | None = None
    signed: bool = False


class CatalogRequest(RootRequest):
    """Request all entries (``since_rev`` -1), or the changes after a revision.

    Without ``groups`` entries of the kind group are left out, which older requesters do not know.
    """

    type: Literal["catalog?"] = "catalog?"
    inst: Annotated[str, Field(max_length=64)] = ""
    since_rev: Annotated[int, Field(ge=-1)] = -1
    cursor: Annotated[str, Field(max_length=constants.PATH_LENGTH)] = ""
    groups: bool = False


class Catalog(Model):
    """A page of entries; a ``cursor`` that is not empty continues with the next page.

    With ``full`` the pages together are the whole catalog; without it they are the changed
    entries, and ``deleted`` names the deleted paths. ``manifest`` is of the catalog of this
    revision.
    """

    type: Literal["catalog"] = "catalog"
    id: Id
    inst: Token
    rev: Count
    full: bool
    cursor: Annotated[str, Field(max_length=constants.PATH_LENGTH)] = ""
    entries: Annotated[tuple[Entry, ...], Field(max_length=2000)]
    deleted: Annotated[tuple[Path, ...], Field(max_length=2000)] = ()
    manifest: Manifest | None = None


class InfoRequest(RootRequest):
    """Request the description of a dataset."""

    type: Literal["info?"] = "info?"
    path: Path


class Info(DatasetInfo):
    """Description of a dataset."""

    type: Literal["info"] = "info"
    id: Id


class InfosRequest(RootRequest):
    """Request the descriptions of several datasets."""

    type: Literal["infos?"] = "infos?"
    paths: Annotated[tuple[Path, ...], Field(min_length=1, max_length=constants.REQUEST_INFOS)]


class Refused(Model):
    """The reason why a dataset is not described; ``name`` is that of an error."""

    path: Path
    name: Annotated[str, Field(max_length=64)]
    detail: Detail


class Infos(Model):
    """Descriptions of the first ``done`` of the requested datasets."""

    type: Literal["infos"] = "infos"
    id: Id
    done: Annotated[int, Field(ge=1, le=constants.REQUEST_INFOS)]
    infos: Annotated[tuple[DatasetInfo, ...], Field(max_length=constants.REQUEST_INFOS)]
    refused: Annotated[tuple[Refused, ...], Field(max_length=constants.REQUEST_INFOS)] = ()

    @model_validator(mode="after")
    def _each_counts_once(self) -> Self:
        if self.done != len(self.infos) + len(self.refused):
            raise ValueError("done is not the number of infos and refused")
        return self


class ChunksRequest(RootRequest):
    """Request raw chunks of an array or frame.

    ``held`` has the digest of each chunk that the requester may have already, from another
    version; it is empty for the others, or as a whole.
    """

    type: Literal["chunks?"] = "chunks?"
    path: Path
    etag: Etag
    n: ChunkIds
    deadline_ms: DeadlineMs
    held: Annotated[tuple[Digest, ...], Field(max_length=constants.REQUEST_CHUNKS)] = ()

    @model_validator(mode="after")
    def _one_for_each(self) -> Self:
        if self.held and len(self.held) != len(self.n):
            raise ValueError("held has not as many digests as n has chunks")
        return self


class Chunks(Model):
    """Raw chunks, concatenated in one payload frame.

    ``sizes`` are their bytes, ``digests`` the CRC-32 of each. A chunk of size 0 has the digest that
    the request named for it, and is not sent. ``proofs`` has one for each, or none at all.
    """

    type: Literal["chunks"] = "chunks"
    id: Id
    n: ChunkIds
    sizes: ChunkIds
    digests: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**32)], ...],
        Field(min_length=1, max_length=constants.REQUEST_CHUNKS),
    ]
    last: bool
    proofs: Annotated[tuple[Proof, ...], Field(max_length=constants.REQUEST_CHUNKS)] = ()


class ChunkBlocks(Model):
    """Some blocks of one chunk; ``held`` is its digest if the requester may have it already."""

    n: Size32
    ids: Annotated[tuple[Size32, ...], Field(min_length=1, max_length=constants.REQUEST_BLOCKS)]
    held: Digest = b""


class BlocksRequest(RootRequest):
    """Request single blocks of some chunks of an array."""

    type: Literal["blocks?"] = "blocks?"
    path: Path
    etag: Etag
    blocks: Annotated[
        tuple[ChunkBlocks, ...], Field(min_length=1, max_length=constants.BLOCKS_CHUNKS)
    ]
    deadline_ms: DeadlineMs

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if sum(len(part.ids) for part in self.blocks) > constants.REQUEST_BLOCKS:
            raise ValueError(f"more than {constants.REQUEST_BLOCKS} blocks are requested at once")
        for part in self.blocks:
            if len(set(part.ids)) < len(part.ids):
                raise ValueError(f"a block of chunk {part.n} is requested twice")
        return self


class Blocks(Model):
    """Blocks of one chunk: its header, then each stored block, in one payload frame.

    Without ``ids`` the payload is the whole chunk, which can't be divided, or empty: then the chunk
    has the digest that the request named for it. ``proof`` is of the whole chunk, of which
    ``leaves`` says what its blocks are, see `signing.digests`.
    """

    type: Literal["blocks"] = "blocks"
    id: Id
    n: Size32
    ids: Annotated[tuple[Size32, ...], Field(max_length=constants.REQUEST_BLOCKS)] = ()
    sizes: Annotated[tuple[Size32, ...], Field(max_length=constants.REQUEST_BLOCKS)] = ()
    digest: Annotated[int, Field(ge=0, lt=2**32)]
    last: bool
    proof: Proof = b""
    leaves: Annotated[bytes, Field(max_length=constants.LEAVES_BYTES)] = b""


class BytesRequest(RootRequest):
    """Request the bytes ``start`` to ``stop`` of a plain file."""

    type: Literal["bytes?"] = "bytes?"
    path: Path
    etag: Etag
    start: Count
    stop: Count
    deadline_ms: DeadlineMs


class Bytes(Model):
    """Bytes of a plain file, in one payload frame; ``proof`` where they are one of its chunks."""

    type: Literal["bytes"] = "bytes"
    id: Id
    start: Count
    digest: Annotated[int, Field(ge=0, lt=2**32)]
    last: bool
    proof: Proof = b""


class Cancel(Model):
    """The requester does not wait for the answer to this id any more."""

    type: Literal["cancel"] = "cancel"
    id: Id


DatasetRequest = InfoRequest | InfosRequest | ChunksRequest | BlocksRequest | BytesRequest
DataRequest = Hello | CatalogRequest | DatasetRequest | Cancel
DataReply = PublisherHello | Catalog | Info | Infos | Chunks | Blocks | Bytes | Error
