"""Messages to decode, and decoders to refuse them."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from caterva2.errors import BadMessage
from caterva2.wire import codec

CHANNELS: dict[str, codec.Decoder[Any]] = {
    "control_requests": codec.control_requests,
    "control_replies": codec.control_replies,
    "data_requests": codec.data_requests,
    "data_replies": codec.data_replies,
    "roots_notes": codec.roots_notes,
    "root_notes": codec.root_notes,
}
REGISTER = {"type": "register", "root": "foo", "inst": "i", "fence": 0, "endpoints": ["tcp://h:1"]}
CHUNKS = {"type": "chunks?", "id": 1, "path": "a", "etag": "e", "n": [0], "deadline_ms": 1000}
INFO = {
    "type": "info", "id": 1, "path": "a.b2nd", "etag": "e", "mtime": 0.0, "kind": "array",
    "shape": [4], "chunks": [4], "blocks": [2], "dtype": "|u1", "typesize": 1, "chunksize": 4,
    "blocksize": 2, "nbytes": 4, "cbytes": 4,
}  # fmt: skip


def decode(channel: str, header: object) -> Any:
    """Decode a header, given as bytes or as what msgpack packs."""
    packed = header if isinstance(header, bytes) else msgpack.packb(header)
    return CHANNELS[channel]([codec.MAGIC, packed])


def refuse(channel: str, header: object) -> BadMessage:
    """The error for a header, which must be refused, though not as somebody else's."""
    with pytest.raises(BadMessage) as caught:
        decode(channel, header)
    assert not isinstance(caught.value, codec.NotOurs)
    return caught.value
