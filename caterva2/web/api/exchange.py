"""Calls of other subscribers, which take their roots from this one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from caterva2.limits import constants
from caterva2.names import RootName
from caterva2.rest import media, paths
from caterva2.runtime.fair_shares import share_of
from caterva2.web import answers
from caterva2.web.contracts.exchanging import Exchanges
from caterva2.web.disconnect import until_disconnected
from caterva2.web.operation import Body, Operation, Reply
from caterva2.web.params import bodies
from caterva2.web.state import reader_of

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_MEDIA = media.MESSAGES


async def hellos(request: Request) -> Response:
    if request.method == "HEAD":
        return answers.head_only(_HEADERS, _MEDIA)
    source: Exchanges = reader_of(request)
    return StreamingResponse(source.hellos(), 200, _HEADERS, _MEDIA)


async def exchange(request: Request) -> Response:
    source: Exchanges = reader_of(request)
    root = RootName(request.path_params["root"])
    asked = await bodies.read(request, "REQUEST_FRAME", constants.REQUEST_FRAME)
    share = share_of(request.client.host if request.client else "")
    replies = await until_disconnected(request, source.exchange(root, asked, share))
    return StreamingResponse(replies, 200, _HEADERS, _MEDIA)


_REPLIES = Reply("replies of the wire protocol, see docs/upstream.md", {_MEDIA: bytes})

OPERATIONS = (
    Operation(
        "GET", paths.EXCHANGES, hellos, "For subscribers: describe all roots to be taken",
        {200: _REPLIES}, failures=(400,),
    ),
    Operation(
        "POST", paths.EXCHANGE, exchange, "For subscribers: answer a request of the wire protocol",
        {200: _REPLIES}, failures=(400, 404, 413, 502, 503, 504),
        body=Body(bytes, media.BINARY, required=False),
    ),
)  # fmt: skip
