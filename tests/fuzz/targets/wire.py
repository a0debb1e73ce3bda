"""Headers of messages, on each channel."""

from __future__ import annotations

from caterva2.errors import BadMessage
from caterva2.wire import codec

CHANNELS = (
    codec.control_requests, codec.control_replies, codec.data_requests, codec.data_replies,
    codec.roots_notes, codec.root_notes,
)  # fmt: skip


def one(data: bytes) -> None:
    for channel in CHANNELS:
        try:
            message = channel([codec.MAGIC, data])
        except BadMessage as error:
            codec.encode(codec.error_message(codec.request_id(error), error))
        else:
            again = codec.encode(message)
            assert codec.encode(channel(again)) == again
