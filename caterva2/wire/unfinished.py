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

import zmq

from caterva2.wire.auth.connections import Connections

LOOK_S = 0.25
"""Seconds between two looks at the memory of the process, or at connections that are suspect."""
GROWN = 16 * 2**20
"""Bytes by which the process has to grow before its connections are looked at."""
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
        self._loop = asyncio.get_running_loop()
        self._floor, self._looked = _resident(), time.monotonic()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def close(self) -> None:
        """Stop looking."""
        self._timer.cancel()
        self._socket.disable_monitor()
        self._events.close(linger=0)

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_S, self._look)
        self._note_accepted()
        resident, now = _resident(), time.monotonic()
        self._floor = min(self._floor, resident)
        if resident - self._floor < GROWN:
            return
        suspect = self._connections.end_unfinished(self._most, now - self._looked)
        self._looked = now
        if not suspect:
            self._floor = resident

    def _note_accepted(self) -> None:
        while True:
            try:
                frames: Sequence[bytes] = self._events.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            event, fd = _EVENT.unpack(frames[0])
            if event == zmq.EVENT_ACCEPTED:
                self._connections.accepted(fd)


def _resident() -> int:
    """Return the bytes of memory that the process has now."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    except OSError:  # another system than Linux, or one without /proc
        return 0
