"""A small HTTP server for metrics and health, without what serves data: no uvicorn, no starlette.

h11, which httpx brings, parses. A connection has one request, little time and few bytes, and there
are few connections at once, so whatever connects costs little.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import ipaddress
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self

import h11

from caterva2.errors import ConfigError, StartError
from caterva2.runtime.tasks import cancel_all

log = logging.getLogger(__name__)
CONNECTIONS = 32
"""Connections at once; what connects beyond that is closed."""
HEAD = 8192
"""Bytes of a request's head."""
TIME = 10.0
"""Seconds from a connection's begin to its end."""
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with its media type and its status."""

    body: str
    media_type: str = _TEXT
    status: int = 200


class MonitoringListener:
    """Answer GET for a few paths while it is entered.

    Parameters
    ----------
    address : str
        ``HOST:PORT``; port 0 is any free one.
    pages : mapping of str to callable
        Makes the answers, by path.
    """

    def __init__(self, address: str, pages: Mapping[str, Callable[[], Awaitable[Answer]]]) -> None:
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise ConfigError(f"metrics: {address!r} is not an address: write HOST:PORT")
        self._host, self._port = host.strip("[]") or "127.0.0.1", int(port)
        self._pages = pages
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self._port, limit=HEAD
            )
        except OSError as error:
            where = f"{self._host}:{self._port}"
            raise StartError(f"metrics: can't listen on {where}: {_why(error)}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await cancel_all(list(self._serving))

    @property
    def url(self) -> str:
        """The URL of the server."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            if len(self._serving) <= CONNECTIONS:
                async with asyncio.timeout(TIME):
                    await self._answer(reader, writer)
        except (asyncio.CancelledError, TimeoutError):
            # The service ends (Python 3.11 logs a cancelled task of a connection as a fault), or
            # the other side takes nothing: what is left to send would keep the connection open.
            writer.transport.abort()
        except (OSError, h11.RemoteProtocolError):
            pass  # it is the other side's loss
        except Exception:
            log.exception("a request for metrics failed")
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD)
        asked = None
        while not isinstance(asked, h11.Request):
            try:
                asked = parser.next_event()
            except h11.RemoteProtocolError as error:
                found, asked = _plain(error.error_status_hint, "this is no request"), None
                break
            if asked is h11.NEED_DATA:
                parser.receive_data(await reader.read(HEAD))
            elif isinstance(asked, h11.ConnectionClosed):
                return
        else:
            found = await self._found(asked)
        method = asked.method if asked is not None else b"GET"
        writer.write(_bytes(parser, found, body=method != b"HEAD"))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            writer.write_eof()
            await reader.read(HEAD)  # what was sent meanwhile, or the end

    async def _found(self, asked: h11.Request) -> Answer:
        path = asked.target.partition(b"?")[0].decode("ascii", "replace")
        if asked.method not in (b"GET", b"HEAD"):
            return _plain(405, "only GET")
        host = dict(asked.headers).get(b"host", b"").decode("ascii", "replace")
        if self._is_local and not _is_local(host):
            return _plain(421, "this server is for this machine")
        if path not in self._pages:
            return _plain(404, f"there are {', '.join(self._pages)}")
        return await self._pages[path]()

    @property
    def _is_local(self) -> bool:
        assert self._server is not None
        name = self._server.sockets[0].getsockname()[0]
        return ipaddress.ip_address(name).is_loopback


def _why(error: OSError) -> str:
    """Return what went wrong: asyncio's text has the address, too."""
    return os.strerror(error.errno) if error.errno else str(error)


def _is_local(host: str) -> bool:
    """Return whether a Host header means this machine: a name of another may lead here, too."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    try:
        return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _plain(status: int, text: str) -> Answer:
    return Answer(text + "\n", status=status)


def _bytes(parser: h11.Connection, answer: Answer, *, body: bool) -> bytes:
    content = answer.body.encode()
    if parser.our_state is h11.ERROR or parser.their_state is h11.ERROR:
        parser = h11.Connection(h11.SERVER)
    head = h11.Response(
        status_code=answer.status,
        reason=http.HTTPStatus(answer.status).phrase.encode(),
        headers=[
            ("Content-Type", answer.media_type), ("Content-Length", str(len(content))),
            ("Connection", "close"), ("Cache-Control", "no-store"),
        ],
    )  # fmt: skip
    made = parser.send(head) or b""
    return made + content if body else made
