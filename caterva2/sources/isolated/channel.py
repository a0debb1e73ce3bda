"""Requests and replies between a process and the one that reads files for it.

Each goes over a stream of its own as two lengths, a head in msgpack and a payload. A stream
carries one request at a time, so whoever asks reads the reply itself, straight into the bytes
that are passed on.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import Any

import msgpack

_LENGTHS = struct.Struct("<IQ")
_BUFFER = 2**20
"""Bytes that a stream may hold, where the system allows it: one reply of chunks."""


class Ended(Exception):
    """The other process is gone, or has closed its end."""


class Silent(Exception):
    """Nothing arrived within the time limit."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Make a stream between two processes: our end, and theirs."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return ours, theirs


def limit(stream: socket.socket, seconds: float) -> None:
    """Have `receive` and `send` raise `Silent` after some time.

    The system keeps the time, since a socket with a time limit of Python's can't wait for all
    of a payload in one call.
    """
    timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)


def is_readable(stream: socket.socket, seconds: float) -> bool:
    """Wait until there is something to receive, or the end; False if nothing was in time."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def send(stream: socket.socket, head: Any, payload: bytes = b"") -> None:
    """Send a request or a reply."""
    packed: bytes = msgpack.packb(head)
    start = _LENGTHS.pack(len(packed), len(payload)) + packed
    try:
        sent = stream.sendmsg([start, payload])
        if sent < len(start):
            stream.sendall(memoryview(start)[sent:])
            sent = len(start)
        if sent < len(start) + len(payload):
            stream.sendall(memoryview(payload)[sent - len(start) :])
    except BlockingIOError:
        raise Silent from None
    except OSError:
        raise Ended from None


def receive(stream: socket.socket) -> tuple[Any, bytes]:
    """Wait for a request or a reply.

    Raises
    ------
    Ended, Silent
    """
    head, payload = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    return msgpack.unpackb(_exactly(stream, head), use_list=False), _exactly(stream, payload)


def _exactly(stream: socket.socket, size: int) -> bytes:
    if not size:
        return b""
    data = _some(stream, size)
    if len(data) == size:  # as a rule: then nothing is copied
        return data
    parts, left = [data], size - len(data)
    while left:
        parts.append(_some(stream, left))
        left -= len(parts[-1])
    return b"".join(parts)


def _some(stream: socket.socket, size: int) -> bytes:
    try:
        data = stream.recv(size, socket.MSG_WAITALL)
    except BlockingIOError:
        raise Silent from None
    except OSError:
        raise Ended from None
    if not data:
        raise Ended
    return data
