"""uvicorn on a running event loop, with a socket of ours and without signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import anyio
import uvicorn
from starlette.types import ASGIApp

from caterva2.errors import ConfigError, StartError
from caterva2.limits import DEFAULTS, WebLimits
from caterva2.runtime.tasks import until_tick
from caterva2.web.server.early import Early, EarlyProtocol, NothingEarly
from caterva2.web.server.forwarded import Forwarded
from caterva2.web.server.lending import Lender, LendingProtocol
from caterva2.web.server.options import HttpOptions
from caterva2.web.server.prefix import Prefixed

_BACKLOG = 1024
"""Connections that the system accepts ahead of us; it has a bound of its own."""
_GRACE_S = 2
"""Seconds for requests under way at the end; less than the whole service has for its own end."""
_CANCELLED_S = 0.5
"""Seconds for those that are cancelled then."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.exiting = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait for the end, and set the date of answers once a second: idle means asleep."""
        while not await self.on_tick(0) and not self.exiting.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_tick(1.0)):
                    await self.exiting.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers: the loop's owner has its own."""
        yield


class HttpServer:
    """An HTTP server for an application, which it serves in ``async with``.

    Parameters
    ----------
    app : ASGIApp
    address : str or socket
        ``HOST:PORT``, where port 0 is any free one, the path of a Unix socket, or what listens.
    limits : WebLimits, optional
    early : Early, optional
        Answers requests before the application sees them.
    options : HttpOptions, optional
    lender : Lender, optional
        Lends connections to workers; without TLS only, whose state is in this process.

    Raises
    ------
    StartError
        If the address can't be bound.
    """

    def __init__(
        self,
        app: ASGIApp,
        address: str | socket.socket,
        limits: WebLimits = DEFAULTS.web,
        early: Early | None = None,
        options: HttpOptions | None = None,
        lender: Lender | None = None,
    ) -> None:
        given = options or HttpOptions()
        self._socket = _bind(address) if isinstance(address, str) else address
        self._certificate = given.certificate
        app = Forwarded(app, given.proxies) if given.proxies else app
        kind = EarlyProtocol
        if lender is not None and given.certificate is None:
            kind = LendingProtocol.lending(lender)
            lender.take = self._take
        answering = kind.answering(limits, early or NothingEarly(), given.hosts, given.prefix)
        config = uvicorn.Config(
            Prefixed(app, given.prefix) if given.prefix else app, proxy_headers=False,
            log_config=None, access_log=False, server_header=False, lifespan="off",
            timeout_keep_alive=limits.keep_alive,  # type: ignore[arg-type] # a loop's delay
            backlog=_BACKLOG, timeout_graceful_shutdown=_GRACE_S, ws="none", http=answering,
        )  # fmt: skip
        if given.certificate is not None:
            config.load()
            config.ssl = given.certificate.context
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The URL of the server; ``unix:`` and the path for a Unix socket."""
        name = self._socket.getsockname()
        if isinstance(name, str):
            return f"unix:{name}"
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{'https' if self._certificate else 'http'}://{host}:{name[1]}"

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine reach the server."""
        name = self._socket.getsockname()
        return isinstance(name, str) or ipaddress.ip_address(name[0]).is_loopback

    async def __aenter__(self) -> Self:
        """Start to accept connections."""
        async with anyio.create_task_group():
            pass  # loads anyio's backend now, since loading it would delay the first answer
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        while not self._server.started:
            if self._task.done():
                self._socket.close()
                self._task.result()
                raise StartError("the HTTP server ended while it started")
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the requests under way, within a limit, and end."""
        assert self._task is not None
        self._server.should_exit = True
        self._server.exiting.set()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._close_connections()
        self._socket.close()

    async def _close_connections(self) -> None:
        """Close what is left once requests that took too long are cancelled and answered."""
        state = self._server.server_state
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=_CANCELLED_S)
        for connection in list(state.connections):
            if connection.transport.get_write_buffer_size():
                connection.transport.abort()  # its client leaves an answer unread
            else:
                connection.transport.close()
        await asyncio.sleep(0)  # the loop closes them now

    async def _take(self, sock: socket.socket, data: bytes, patience: int) -> None:
        """Serve a connection that was lent, and came back with bytes that were received."""
        server, kind = self._server, self._server.config.http_protocol_class
        if server.should_exit:
            sock.close()
            return
        assert isinstance(kind, type) and issubclass(kind, LendingProtocol)

        def back() -> LendingProtocol:
            given = server.config, server.server_state, server.lifespan.state
            return kind.returned(*given, data, patience)

        try:
            await asyncio.get_running_loop().connect_accepted_socket(back, sock)
        except OSError:  # its client has gone
            sock.close()

    async def failed(self) -> None:
        """Wait for the server's end, which is an error while the context is entered."""
        assert self._task is not None
        await asyncio.shield(self._task)
        raise StartError("the HTTP server ended")


def _bind(address: str) -> socket.socket:
    if "/" in address:
        return _bind_unix(Path(address))
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{address!r} is not an address: write HOST:PORT or a socket's path")
    host = host.strip("[]") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StartError(f"http: can't listen on {address}: {error.strerror}") from None


def _bind_unix(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(f"http: can't listen on {path}: {error.strerror}") from None
    return listener
