"""Messages without an end: ZeroMQ bounds the size of their frames, and not the number.

A program that uses ZeroMQ sees no frame of a message before the last one has come. But the system
counts the bytes of each connection: where many come and no message does, the connection ends.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from weakref import WeakKeyDictionary

import zmq

from caterva2.runtime.tasks import until_tick
from caterva2.wire.auth.connections import Connections

LOOK_S = 0.25
"""Seconds between two looks at a process that grows, or whose connections are suspect."""
IDLE_LOOK_S = 1.0
"""The same for another process."""
GROWN = 16 * 2**20
"""Bytes by which the process has to grow before its connections are looked at."""
GROWS = 2**20
"""Bytes by which it grows between two looks where the next one has to be soon."""
FRAMES = 4
"""Frames of the largest size that a message may have."""
_EVENT = struct.Struct("=hi")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class UnfinishedMessages:
    """Bounds what a bound socket holds of messages that are not complete; made on a running loop.

    Parameters
    ----------
    socket : zmq.Socket
    connections : Connections
        Its own.
    """

    def __init__(self, socket: zmq.Socket[bytes], connections: Connections) -> None:
        self._connections = connections
        self._most = FRAMES * max(int(socket.maxmsgsize), 2**16)
        self._socket = socket
        at = f"inproc://accepted-{uuid.uuid4()}"
        socket.monitor(at, zmq.EVENT_ACCEPTED)
        self._events = socket.context.socket(zmq.PAIR)
        # ZeroMQ's thread waits for room, and must never wait.
        self._events.rcvhwm = 0
        self._events.connect(at)
        self.growth = _Growth.of(asyncio.get_running_loop())
        self.growth.add(self)

    def close(self) -> None:
        """Stop looking."""
        self.growth.remove(self)
        self._socket.disable_monitor()
        self._events.close(linger=0)

    def end(self, seconds: float) -> bool:
        """End connections as `Connections.end_unfinished`."""
        return self._connections.end_unfinished(self._most, seconds)

    def note_accepted(self) -> None:
        """Note the connections that are new."""
        while True:
            try:
                frames: Sequence[bytes] = self._events.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            event, fd = _EVENT.unpack(frames[0])
            if event == zmq.EVENT_ACCEPTED:
                self._connections.accepted(fd)


class _Growth:
    """The growth of the process, looked at once for all bound sockets of a loop."""

    _by_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _Growth]] = WeakKeyDictionary()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Growth:
        return cls._by_loop.setdefault(loop, cls())

    def __init__(self) -> None:
        self._sockets: list[UnfinishedMessages] = []
        self._timer: asyncio.TimerHandle | None = None
        self.floor = self._last = self._looked = 0.0

    def add(self, socket: UnfinishedMessages) -> None:
        self._sockets.append(socket)
        if self._timer is None:
            self.floor = self._last = _resident()
            self._looked = time.monotonic()
            self._look_in(LOOK_S)

    def remove(self, socket: UnfinishedMessages) -> None:
        self._sockets.remove(socket)
        if not self._sockets and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # Between two looks at what is suspect is time to handle messages, also after a stall.
        pause = until_tick(seconds) if seconds == IDLE_LOOK_S else seconds
        self._timer = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        self._look_in(IDLE_LOOK_S)
        for socket in self._sockets:
            socket.note_accepted()
        resident, now = _resident(), time.monotonic()
        grows, self._last = resident - self._last >= GROWS, resident
        self.floor = min(self.floor, resident)
        suspect = False
        if resident - self.floor >= GROWN:
            for socket in self._sockets:
                suspect |= socket.end(now - self._looked)
            self._looked = now
            self.floor = self.floor if suspect else resident
        if grows or suspect:
            self._look_in(LOOK_S)


def _resident() -> int:
    """Return the bytes of memory that the process has now."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    except OSError:  # another system than Linux, or one without /proc
        return 0
