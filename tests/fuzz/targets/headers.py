"""Values of the headers of requests: ranges, hosts, hops of proxies, entity tags, dates."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from caterva2.web import conditions, ranges
from caterva2.web.server.early import Asked
from caterva2.web.server.forwarded import Forwarded, Proxies
from caterva2.web.server.hosts import Hosts

NAMES = (
    b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range",
    b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"host", b"range",
)  # fmt: skip
HOSTS = Hosts(["data.example"], forwarded=True)
SIZE, RANGES = 1000, 10


async def nothing(*_: object) -> None:
    pass


FORWARDED = Forwarded(nothing, Proxies(["127.0.0.1"]))
INFO: Any = SimpleNamespace(etag="e", mtime=1.5)


def one(data: bytes) -> None:
    headers = [(name, data) for name in NAMES]
    Asked.of(headers)
    HOSTS.refusal(headers)
    scope = {"type": "http", "method": "GET", "client": ("127.0.0.1", 1), "headers": headers}
    request = Request(FORWARDED._forwarded(scope))
    conditions.has_tag(request, "e")
    conditions.has_version(request, "e")
    conditions._seconds(data.decode("latin-1"))
    with contextlib.suppress(HTTPException):
        conditions.check_tag(request, "e")
    with contextlib.suppress(HTTPException):
        for start, stop in ranges.parse(data.decode("latin-1"), SIZE, RANGES) or ():
            assert 0 <= start < stop <= SIZE
