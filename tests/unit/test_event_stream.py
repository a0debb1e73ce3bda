"""The text of events in the stream."""

from __future__ import annotations

import asyncio

from caterva2.model import ChangeEvent, Event, Lost, RootEvent
from caterva2.names import DatasetPath, RootName
from caterva2.web.api import events

FOO = RootName("foo")


class _Script:
    """A listener with these events, after so many silences."""

    def __init__(self, *happens: Event | Lost, silences: int = 0) -> None:
        self._happens = list(happens)
        self._silences = silences

    async def next(self) -> Event | Lost | None:
        if self._silences:
            self._silences -= 1
            await asyncio.Event().wait()
        return self._happens.pop(0) if self._happens else None

    def close(self) -> None:
        pass


def _stream(listener: _Script, lasts: int = 99, heartbeat: float = 15.0) -> list[bytes]:
    """Return what is sent to a client whose session ends after so many events."""
    left = iter(lasts * [True] + [False])

    async def still() -> bool:
        return next(left)

    async def read() -> list[bytes]:
        return [line async for line in events.lines(listener, still, heartbeat)]

    return asyncio.run(read())


def test_each_event_has_its_name_and_its_data_in_one_line() -> None:
    path = DatasetPath("a b\u2028.b2nd")
    assert _stream(_Script(ChangeEvent(FOO, path, "put", "v1"), Lost(FOO))) == [
        b"retry: 2000\n\n",
        b'event: change\ndata: {"root": "foo", "path": "a b\\u2028.b2nd", "op": "put", '
        b'"etag": "v1"}\n\n',
        b'event: lost\ndata: {"root": "foo"}\n\n',
    ]


def test_silence_is_broken_by_a_comment() -> None:
    stream = _stream(_Script(Lost(FOO), silences=2), heartbeat=0.02)
    assert stream[1:3] == [b": still here\n\n"] * 2
    assert stream[3].startswith(b"event: lost")


def test_nothing_is_sent_when_the_session_is_over() -> None:
    stream = _stream(_Script(RootEvent(FOO, "up", ""), Lost(FOO), Lost(FOO)), lasts=1)
    assert [line.partition(b"\n")[0] for line in stream] == [b"retry: 2000", b"event: roots"]
