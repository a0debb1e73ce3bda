"""The HTTP connections to an upstream, on a thread with an event loop of their own.

Payloads are handled on this thread and never enter the loop of the service.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from caterva2.errors import (
    WIRE_ERRORS,
    BadMessage,
    Busy,
    CatervaError,
    RootOffline,
    SlowDown,
    StartError,
    TooLarge,
    from_wire,
)
from caterva2.limits import DEFAULTS, Limits
from caterva2.limits.constants import SHUTDOWN
from caterva2.names import RootName
from caterva2.rest import paths
from caterva2.subscriber.upstream.options import UpstreamOptions
from caterva2.version import __version__

log = logging.getLogger(__name__)
CONNECT_S = 5.0
"""Seconds until a connection is established, TLS included."""
_ERROR_BYTES = 64 * 1024
"""Bytes of the body of an answer that is an error."""
_PASSED = (SlowDown, Busy, BadMessage, TooLarge)
"""Errors of an upstream that mean here what they mean there."""
_REFUSED = (401, 403)
_HEADERS = {"User-Agent": f"caterva2/{__version__}", "Accept-Encoding": "identity"}


class Lost(RootOffline):
    """The upstream can't be reached, or the connection broke: another try may help."""


class Refused(RootOffline):
    """The upstream does not accept the token."""


class Session:
    """Requests to one upstream; everything with ``async`` runs on its own thread.

    Parameters
    ----------
    options : UpstreamOptions
    limits : Limits

    Attributes
    ----------
    url : str
    bulk : asyncio.Semaphore
        Held by requests for payload, so that they leave connections to those for descriptions.

    Raises
    ------
    StartError
        If the files of the options, or proxies of the environment, can't be used.
    """

    bulk: asyncio.Semaphore

    def __init__(self, options: UpstreamOptions, limits: Limits = DEFAULTS) -> None:
        for name in ("httpx", "httpcore"):  # these log each request
            logging.getLogger(name).setLevel(logging.WARNING)
        self.url = options.url
        self.options = options
        self._limits = limits
        self._token = options.token()
        self._client = _client(options, limits)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._thread.start()
        self._ready.wait(SHUTDOWN)

    # --- any thread ---

    def post(self, work: Callable[..., None], *args: object) -> bool:
        """Run a function on the thread soon; return False if the thread ends."""
        try:
            if self._loop is None or self._ending.is_set():
                return False
            self._loop.call_soon_threadsafe(work, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the thread, from another loop."""
        assert self._loop is not None
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def close(self) -> None:
        """Close the connections and end the thread. Blocks."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(SHUTDOWN)

    # --- its own thread ---

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:
            log.exception("the connections to the upstream failed")

    async def _main(self) -> None:
        most = self._limits.subscriber.upstream_connections
        self.bulk = asyncio.Semaphore(max(1, most - 1))
        async with self._client:
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self._ending.wait()
            # What is left is cancelled by `asyncio.run`, which would be too late for the client.
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def read_token(self) -> None:
        """Read the token again: it may have been replaced."""
        try:
            self._token = await asyncio.to_thread(self.options.token)
        except StartError as error:
            log.warning("the upstream's token: %s", error)

    @asynccontextmanager
    async def answer(
        self, method: str, path: str, accept: str, patience: float, body: bytes | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a request, and give the pieces of the body of its answer.

        Parameters
        ----------
        method, path : str
        accept : str
            The media type that the answer has to have.
        patience : float
            Seconds without any byte after which the connection counts as lost.
        body : bytes, optional

        Raises
        ------
        CatervaError
            If the upstream can't be reached, or answers anything else.
        """
        headers = _HEADERS | {"Accept": accept}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        timeout = httpx.Timeout(patience, connect=CONNECT_S, pool=None)
        try:
            async with self._client.stream(
                method, f"{self.url}/{path}", headers=headers, content=body, timeout=timeout
            ) as response:
                await self._check(response, accept)
                yield response.aiter_raw()
        except (httpx.RequestError, httpx.StreamError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise Lost(f"the upstream {self.url} is lost: {reason}") from None
        except httpx.InvalidURL as error:
            raise Lost(f"the upstream {self.url} can't be asked: {error}") from None

    async def _check(self, response: httpx.Response, accept: str) -> None:
        """Raise an error unless an answer is what was asked for."""
        status = response.status_code
        if 300 <= status < 400:
            raise BadMessage(f"the upstream {self.url} redirects, and that is not followed")
        if status != 200:
            raise self._failure(status, await _beginning(response), response.headers)
        found = response.headers.get("content-type", "").partition(";")[0].strip()
        if found != accept or response.headers.get("content-encoding", "identity") != "identity":
            raise BadMessage(f"the upstream {self.url} answers {found[:80]!r} instead of {accept}")

    def _failure(self, status: int, body: bytes, headers: httpx.Headers) -> CatervaError:
        try:
            content = json.loads(body)
            name, detail = str(content["name"]), str(content["detail"])[:1000]
        except (ValueError, KeyError, TypeError, RecursionError):
            return Lost(f"the upstream {self.url} answers {status}")
        if status in _REFUSED:
            return Refused(f"the upstream {self.url} refuses: {detail}")
        if issubclass(WIRE_ERRORS.get(name, CatervaError), _PASSED):
            pause = headers.get("retry-after", "")
            after_ms = min(int(pause), 60) * 1000 if pause.isdecimal() and len(pause) < 9 else 0
            return from_wire(name, detail, after_ms=after_ms)
        return RootOffline(f"the upstream {self.url} answers {status}: {detail}")


def _client(options: UpstreamOptions, limits: Limits) -> httpx.AsyncClient:
    most = limits.subscriber.upstream_connections
    try:
        return httpx.AsyncClient(
            verify=options.certificates(),
            timeout=httpx.Timeout(limits.wire.first_byte, connect=CONNECT_S, pool=None),
            limits=httpx.Limits(max_connections=most + 1),  # one for events, which have no end
            follow_redirects=False,
            trust_env=not options.is_near,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # keeps none
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise StartError(f"a proxy that the environment names can't be used: {error}") from None


async def _beginning(response: httpx.Response) -> bytes:
    found = b""
    async for piece in response.aiter_raw():
        found += piece
        if len(found) > _ERROR_BYTES:
            return b""
    return found


def exchange_path(root: RootName) -> str:
    """Return the path of requests for one root."""
    return paths.relative(paths.EXCHANGE, root)
