"""Encoding of messages to frames, and decoding within bounds.

A message is ``[topic] magic header payload...``; the topic is for pub/sub only. The header is
a msgpack map with string keys, at most `constants.HEADER_BYTES`, without extension types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgpack
from pydantic import Field, TypeAdapter, ValidationError

from caterva2.errors import BadMessage, CatervaError, from_wire
from caterva2.limits import constants
from caterva2.names import RootName
from caterva2.wire import messages
from caterva2.wire.messages import Error, Message

MAGIC = b"C2P\x01"
ROOTS_TOPIC = b"roots\0"
_MAX_ITEMS = 4096
"""Items of one list or map: msgpack allocates the claimed number before it reads them."""
Buffer = bytes | memoryview
M = TypeVar("M", bound=Message)


class NotOurs(BadMessage):
    """The magic is wrong: the sender does not speak this protocol and gets no answer."""


def root_topic(root: RootName) -> bytes:
    """Return the topic of a root's notes; it ends with NUL, since subscriptions match prefixes."""
    return b"root/" + root.encode() + b"\0"


def encode(message: Message, payload: Sequence[Buffer] = ()) -> list[Buffer]:
    """Return the frames of a message.

    Raises
    ------
    BadMessage
        If the header would be too long.
    """
    header: bytes = msgpack.packb(message.model_dump(), use_bin_type=True)
    if len(header) > constants.HEADER_BYTES:
        raise BadMessage(f"a {message.type} header of {len(header)} bytes is too long")
    return [MAGIC, header, *payload]


class Decoder(Generic[M]):
    """Decodes the messages that one channel may carry, and refuses all others.

    Parameters
    ----------
    union
        The union type of these messages.
    """

    def __init__(self, union: Any) -> None:
        self._adapter: TypeAdapter[M] = TypeAdapter(Annotated[union, Field(discriminator="type")])

    def __call__(self, frames: Sequence[Buffer]) -> M:
        """Decode the header of a message; topic and payload frames are left to the caller.

        Raises
        ------
        NotOurs
            If the magic is wrong.
        BadMessage
            If the header is not such a message; ``info`` holds the ``id`` if it could be read.
        """
        if len(frames) < 2 or bytes(frames[0]) != MAGIC:
            raise NotOurs("not a message of this protocol")
        header = _unpack(frames[1])
        try:
            return self._adapter.validate_python(header)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise BadMessage(f"{where}: {first['msg']}", info=_id_of(header)) from None
        except CatervaError as error:
            raise BadMessage(error.detail, info=_id_of(header)) from None


control_requests: Decoder[messages.ControlRequest] = Decoder(messages.ControlRequest)
control_replies: Decoder[messages.ControlReply] = Decoder(messages.ControlReply)
data_requests: Decoder[messages.DataRequest] = Decoder(messages.DataRequest)
data_replies: Decoder[messages.DataReply] = Decoder(messages.DataReply)
roots_notes: Decoder[messages.RootsNote] = Decoder(messages.RootsNote)
root_notes: Decoder[messages.RootNote] = Decoder(messages.RootNote)


def _unpack(data: Buffer) -> dict[str, object]:
    if len(data) > constants.HEADER_BYTES:
        raise BadMessage(f"header of {len(data)} bytes is too long")
    try:
        header = msgpack.unpackb(
            data, use_list=False, raw=False, strict_map_key=True, ext_hook=_ext,
            max_array_len=_MAX_ITEMS, max_map_len=_MAX_ITEMS,
        )  # fmt: skip
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise BadMessage(f"header is not msgpack: {error}") from None
    if not isinstance(header, dict) or not all(isinstance(key, str) for key in header):
        raise BadMessage("header is not a map with string keys")
    if any(isinstance(value, msgpack.Timestamp) for value in header.values()):
        raise BadMessage("header holds an extension type")
    return header


def _ext(code: int, _data: bytes) -> object:
    raise ValueError(f"extension type {code}")


def _id_of(header: dict[str, object]) -> dict[str, object]:
    number = header.get("id")
    return {"id": number} if type(number) is int and 0 <= number < 2**53 else {}


def request_id(error: BadMessage) -> int:
    """Return the id of a request that could not be decoded, 0 if it is unknown."""
    number = error.info.get("id", 0)
    return number if isinstance(number, int) else 0


def error_message(request_id: int, error: CatervaError) -> Error:
    """Return the message that carries an error to a requester."""
    plain = {k: v for k, v in error.info.items() if isinstance(v, str | int)}
    return Error(
        id=request_id, code=error.code, name=error.name, retry=error.retry,
        after_ms=error.after_ms, detail=error.detail[:4096], info=plain,
    )  # fmt: skip


def to_exception(message: Error, subject: str = "") -> CatervaError:
    """Return the exception that an error message about a dataset stands for."""
    info: dict[str, object] = dict(message.info)
    return from_wire(message.name, message.detail, info, message.after_ms, subject=subject)
