"""Messages with descriptors between two processes of one subscriber, on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import msgpack

from caterva2.limits.constants import KIB

FRAME = 48 * KIB
"""Bytes that are sent at once: a longer message is several frames."""
MESSAGE = 16 * 1024 * KIB
"""Bytes of a message above which its sender is cut off."""
_AT_ONCE = 64
"""Frames that are received before other work of the loop has a turn."""
_MORE, _LAST = b"\0", b"\1"
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
Message = list[Any]


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets that keep the bounds of messages."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Channel:
    """One end of a pair of sockets.

    Parameters
    ----------
    sock : socket
        Closed with this.
    on_message : callable
        Called with each message, and with the descriptor that came with it, or -1; it owns that.
    on_end : callable
        Called once, when the other end is closed or talks nonsense.
    most : int
        Frames that wait for the other end, above which `send` refuses.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[Message, int], None],
        on_end: Callable[[], None],
        most: int = 4096,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_message, self._on_end, self._most = on_message, on_end, most
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._received = bytearray()
        self._closed = False
        self._loop.add_reader(sock, self._read)

    @property
    def pending(self) -> bool:
        """Whether some of what was sent waits for the other end."""
        return bool(self._waiting)

    def send(self, message: Message, descriptor: int = -1) -> bool:
        """Send a message, with a copy of a descriptor; False if the other end does not take it."""
        if self._closed or len(self._waiting) >= self._most:
            return False
        packed = msgpack.packb(message, use_bin_type=True)
        frames = [packed[at : at + FRAME] for at in range(0, len(packed), FRAME)]
        for frame in frames[:-1]:
            self._put(_MORE + frame, -1)
        self._put(_LAST + frames[-1], descriptor)
        return not self._closed

    def _put(self, frame: bytes, descriptor: int) -> None:
        if self._closed:
            return
        if self._waiting or not self._sent(frame, descriptor):
            kept = os.dup(descriptor) if descriptor >= 0 else -1
            self._waiting.append((frame, kept))
            if len(self._waiting) == 1:
                self._loop.add_writer(self._sock, self._write)

    def _sent(self, frame: bytes, descriptor: int) -> bool:
        try:
            socket.send_fds(self._sock, [frame], [descriptor] if descriptor >= 0 else [])
        except BlockingIOError:
            return False
        except OSError:
            self._end()
        return True

    def _write(self) -> None:
        while self._waiting and not self._closed:
            frame, descriptor = self._waiting[0]
            if not self._sent(frame, descriptor):
                return
            if self._waiting:  # not closed meanwhile
                self._waiting.popleft()
                _close(descriptor)
        if not self._closed:
            self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            if self._closed:
                return
            try:
                frame, descriptors, _, _ = socket.recv_fds(self._sock, FRAME + 1, 4, _FLAGS)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                frame, descriptors = b"", []
            if not frame or not self._take(frame, descriptors):
                list(map(_close, descriptors))
                self._end()

    def _take(self, frame: bytes, descriptors: list[int]) -> bool:
        self._received += memoryview(frame)[1:]
        if len(self._received) > MESSAGE or len(descriptors) > 1:
            return False
        if frame[:1] == _MORE:
            return not descriptors
        packed, self._received = self._received, bytearray()
        try:
            message = msgpack.unpackb(packed, raw=False)
        except (ValueError, msgpack.UnpackException):
            return False
        if not isinstance(message, list) or not message:
            return False
        self._on_message(message, descriptors[0] if descriptors else -1)
        return True

    def _end(self) -> None:
        if not self._closed:
            self.close()
            self._on_end()

    def close(self) -> None:
        """Close this end; what waits is not sent."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        while self._waiting:
            _close(self._waiting.popleft()[1])


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)
