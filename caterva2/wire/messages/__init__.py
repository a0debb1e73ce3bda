"""Models of all messages of the protocol; the ``type`` field is a message's name on the wire.

A name may belong to two messages of different channels: ``hello-ok`` of a broker and of a
publisher, ``beat`` of the broker and of a root.
"""

from __future__ import annotations

from caterva2.wire.messages.control import (
    BrokerHello,
    ControlReply,
    ControlRequest,
    Hello,
    Mirror,
    Ping,
    Pong,
    Register,
    Registered,
    Snapshot,
    SnapshotRequest,
    Unmirror,
    Unregister,
)
from caterva2.wire.messages.data import (
    Blocks,
    BlocksRequest,
    Bytes,
    BytesRequest,
    Cancel,
    Catalog,
    CatalogRequest,
    ChunkBlocks,
    Chunks,
    ChunksRequest,
    Credit,
    DataReply,
    DataRequest,
    DatasetRequest,
    Info,
    InfoRequest,
    Infos,
    InfosRequest,
    PublisherHello,
    Refused,
    RootRequest,
)
from caterva2.wire.messages.fields import VERSION, DeadlineMs, Detail, Error, Id
from caterva2.wire.messages.notes import (
    BrokerBeat,
    Change,
    Reason,
    RootBeat,
    RootDown,
    RootNote,
    RootsNote,
    RootUp,
)

Request = ControlRequest | DataRequest
Reply = ControlReply | DataReply
Message = Request | Reply | RootsNote | RootNote

__all__ = [
    "VERSION",
    "Blocks",
    "BlocksRequest",
    "BrokerBeat",
    "BrokerHello",
    "Bytes",
    "BytesRequest",
    "Cancel",
    "Catalog",
    "CatalogRequest",
    "Change",
    "ChunkBlocks",
    "Chunks",
    "ChunksRequest",
    "ControlReply",
    "ControlRequest",
    "Credit",
    "DataReply",
    "DataRequest",
    "DatasetRequest",
    "DeadlineMs",
    "Detail",
    "Error",
    "Hello",
    "Id",
    "Info",
    "InfoRequest",
    "Infos",
    "InfosRequest",
    "Message",
    "Mirror",
    "Ping",
    "Pong",
    "PublisherHello",
    "Reason",
    "Refused",
    "Register",
    "Registered",
    "Reply",
    "Request",
    "RootBeat",
    "RootDown",
    "RootNote",
    "RootRequest",
    "RootUp",
    "RootsNote",
    "Snapshot",
    "SnapshotRequest",
    "Unmirror",
    "Unregister",
]
