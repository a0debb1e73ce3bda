"""Requests and replies between a process and the one that reads files for it.

Each is two lengths and a head in msgpack, over a socket, and a payload. The payload lies in memory
that both share, which takes two copies less than a socket; a large one goes over the socket. A
stream carries one request at a time, so the thread that sent it receives the reply itself.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import msgpack

from caterva2.limits.constants import MIB
from caterva2.runtime import durable

AREA = 4 * MIB
"""Bytes of a payload up to which it goes through shared memory: a reply of chunks as a rule."""
MOST = 2**32
"""Bytes of a payload; those of a head have a bound by its length's own."""
_LENGTHS = struct.Struct("<IQB")


class Ended(Exception):
    """The other process is gone, or has closed its end."""


class Silent(Exception):
    """Nothing arrived within the time limit."""


class Nonsense(Exception):
    """What arrived is no request and no reply; what follows it can't be read either."""


def give_up(silent: Silent) -> None:
    """Wait no longer."""
    raise silent


@dataclass(frozen=True, slots=True)
class Descriptors:
    """An end of a stream as it is handed to another process."""

    socket: int
    area: int

    def close(self) -> None:
        os.close(self.socket)
        os.close(self.area)


class Stream:
    """One end of a stream.

    Parameters
    ----------
    descriptors : Descriptors
        Closed with the stream; that of the shared memory at once.
    """

    def __init__(self, descriptors: Descriptors) -> None:
        self._socket = socket.socket(fileno=descriptors.socket)
        self._area = mmap.mmap(descriptors.area, AREA)
        os.close(descriptors.area)

    @classmethod
    def pair(cls) -> tuple[Self, Descriptors]:
        """Make a stream: our end, and the other one for another process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        area = durable.unnamed("caterva2-stream")
        os.truncate(area, AREA)
        other = Descriptors(theirs.detach(), os.dup(area))
        return cls(Descriptors(ours.detach(), area)), other

    def close(self) -> None:
        """Release the socket and the memory; nothing may be under way."""
        self._socket.close()
        self._area.close()

    def limit(self, seconds: float) -> None:
        """Have `receive` and `send` raise `Silent` after some time without a byte.

        The system keeps the time, since a socket with a time limit of Python's can't wait for
        all of a payload in one call.
        """
        timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def send(self, head: Any, payload: bytes = b"") -> None:
        """Send a request or a reply.

        Raises
        ------
        Ended, Silent
        """
        packed: bytes = msgpack.packb(head)
        shared = len(payload) <= AREA
        if shared:
            self._area[: len(payload)] = payload
        try:
            self._socket.sendall(_LENGTHS.pack(len(packed), len(payload), shared) + packed)
            if not shared:
                self._socket.sendall(payload)
        except BlockingIOError:
            raise Silent from None
        except OSError:
            raise Ended from None

    def receive(self, on_silence: Callable[[Silent], None] = give_up) -> tuple[Any, bytes]:
        """Wait for a request or a reply: its head and its payload.

        Parameters
        ----------
        on_silence : callable, optional
            Called each time that nothing has begun to arrive within the limit. It raises the
            exception that it is given, or returns for another such time.

        Raises
        ------
        Ended, Silent, Nonsense
        """
        while True:
            try:
                head, size, shared = _LENGTHS.unpack(self._exactly(_LENGTHS.size))
                break
            except Silent as silent:
                on_silence(silent)
        if size > MOST or (shared and size > AREA):
            raise Nonsense(f"a payload of {size} bytes")
        try:
            unpacked = msgpack.unpackb(self._exactly(head), use_list=False)
            return unpacked, self._area[:size] if shared else self._exactly(size)
        except (ValueError, msgpack.UnpackException, MemoryError) as error:
            raise Nonsense(str(error)) from None

    def _exactly(self, size: int) -> bytes:
        data = self._some(size)
        if len(data) == size:  # as a rule: then nothing is copied
            return data
        parts, left = [data], size - len(data)
        while left:
            parts.append(self._some(left))
            left -= len(parts[-1])
        return b"".join(parts)

    def _some(self, size: int) -> bytes:
        try:
            data = self._socket.recv(size, socket.MSG_WAITALL)
        except BlockingIOError:
            raise Silent from None
        except OSError:
            raise Ended from None
        if not data:
            raise Ended
        return data
