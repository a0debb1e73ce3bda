"""Events as they stand in the stream."""

from __future__ import annotations

import asyncio

import pytest

from caterva2.model import ChangeEvent, Event, Lost, RootEvent
from caterva2.names import DatasetPath, RootName
from caterva2.web.api import events

FOO = RootName("foo")


class _Script:
    """A listener to whom these things happen, after so many silences."""

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


def _stream(listener: _Script, lasts: int = 99) -> list[bytes]:
    """What is sent to somebody whose session is over after so many events."""
    left = iter(lasts * [True] + [False])

    async def still() -> bool:
        return next(left)

    async def read() -> list[bytes]:
        return [line async for line in events._lines(listener, still)]

    return asyncio.run(read())


def test_each_event_has_its_name_and_its_data_in_one_line() -> None:
    path = DatasetPath("a b\u2028.b2nd")
    assert _stream(_Script(ChangeEvent(FOO, path, "put", "v1"), Lost(FOO))) == [
        b"retry: 2000\n\n",
        b'event: change\ndata: {"root": "foo", "path": "a b\\u2028.b2nd", "op": "put", '
        b'"etag": "v1"}\n\n',
        b'event: lost\ndata: {"root": "foo"}\n\n',
    ]


def test_silence_is_broken_by_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.02)
    stream = _stream(_Script(Lost(FOO), silences=2))
    assert stream[1:3] == [b": still here\n\n"] * 2
    assert stream[3].startswith(b"event: lost")


def test_nothing_is_told_when_the_session_is_over() -> None:
    stream = _stream(_Script(RootEvent(FOO, "up", ""), Lost(FOO), Lost(FOO)), lasts=1)
    assert [line.partition(b"\n")[0] for line in stream] == [b"retry: 2000", b"event: roots"]
