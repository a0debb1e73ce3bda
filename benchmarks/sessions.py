"""What a login adds to a request: ``python -m benchmarks.sessions [RUNS]``.

The middleware that finds users is called in this process, with an application behind it that takes
the view of the user and does nothing. Requests with and without a session's cookie, and the
application alone, take turns. Processor time counts, and the median of the runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caterva2.access.views import UserViews
from caterva2.accounts.accounts import AccountOptions, Accounts
from caterva2.accounts.policy import Policy
from caterva2.accounts.store import AccountStore
from caterva2.rest import stream
from caterva2.rest.session import COOKIE
from caterva2.web.middleware.sessions import Sessions

COUNT = 10_000
NAME, PASSWORD = "ann@example.com", "correct horse"
KIND = stream.MEDIA_TYPE.encode()
ANSWER = [(b"content-type", KIND), (b"content-length", b"900"), (b"vary", b"Accept")]


stub: Any = SimpleNamespace(pool=None, incoming=None, limits=None, rights=None)
views = UserViews(stub, stub, Policy())


async def application(scope: Scope, _receive: Receive, send: Send) -> None:
    views.for_user(scope["state"].get("user"))
    await send({"type": "http.response.start", "status": 200, "headers": list(ANSWER)})


async def receive() -> Message:
    return {"type": "http.request"}


async def send(message: Message) -> None:
    pass


def request(cookie: str) -> Scope:
    """A request as our client sends it."""
    headers = [(b"host", b"127.0.0.1:8000"), (b"accept-encoding", b"identity"), (b"accept", KIND)]
    if cookie:
        headers.append((b"cookie", cookie.encode()))
    path = "/api/fetch/foo/a.b2nd"
    return {"type": "http", "method": "GET", "path": path, "headers": headers, "state": {}}


async def each(app: ASGIApp, cookie: str = "") -> float:
    """Microseconds of a request."""
    requests = [request(cookie) for _ in range(COUNT)]
    began = time.process_time()
    for scope in requests:
        await app(scope, receive, send)
    return (time.process_time() - began) / COUNT * 1e6


@contextlib.contextmanager
def made() -> Iterator[Accounts]:
    with tempfile.TemporaryDirectory() as directory:
        store = AccountStore(Path(directory) / "accounts.sqlite")
        with contextlib.closing(Accounts(store, AccountOptions(b"secret"), Policy())) as accounts:
            yield accounts


async def main(runs: int) -> None:
    with made() as accounts:
        await accounts.add(NAME, PASSWORD)
        cookie = f"{COOKIE}={await accounts.login(NAME, PASSWORD, '127.0.0.1')}"
        sessions = Sessions(application, accounts)
        found = [
            (await each(application), await each(sessions), await each(sessions, cookie))
            for _ in range(runs)
        ]
    alone, anonymous, user = map(statistics.median, zip(*found, strict=True))
    print(f"anonymous: {anonymous - alone:.2f} us, user: {user - alone:.2f} us")
    print(f"a login adds {statistics.median(row[2] - row[1] for row in found):.2f} us")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 11))
