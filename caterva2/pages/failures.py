"""Pages for errors: what happened, in a sentence, and what to do."""

from __future__ import annotations

import http
import logging
import urllib.parse

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from caterva2.errors import CatervaError
from caterva2.pages import rendering
from caterva2.web.state import reader_of

log = logging.getLogger(__name__)
_TITLES = {
    400: "This can't be shown", 401: "Log in to see this", 403: "Not allowed",
    404: "Not found", 405: "Not possible here", 409: "It has changed",
    410: "This version is gone", 412: "It has changed", 413: "Too large",
    422: "Something is missing", 429: "Too many requests", 500: "Something went wrong here",
    502: "The data can't be read", 503: "Not available now", 504: "It took too long",
    507: "No space left",
}  # fmt: skip
_ADVICE = {
    400: "Check the address, or start again from the list of roots.",
    401: "This is for users with an account.",
    403: "Ask those who run this server for the right to do it.",
    404: "It may have been moved or removed: look in a directory above, or search for its name.",
    409: "Load the page again to see the present version.",
    410: "The dataset has another version now: open it anew.",
    412: "Load the page again to see the present version.",
    413: "Choose a smaller part.",
    429: "Wait a few seconds, and load the page again.",
    500: "The server has noted the details in its log. Other pages work.",
    502: "The publisher's file is damaged, or can't be read any more. Tell those who publish it.",
    503: "What is cached can still be opened; this page works as soon as its publisher is back.",
    504: "The publisher answers slowly. Load the page again in a while.",
    507: "Remove what is not needed any more, or ask for a larger quota.",
}
_SENTENCES = {
    "LOGIN_BAD_CREDENTIALS": "The address or the password is wrong.",
    "Unauthorized": "You are not logged in, or your session has ended.",
}
"""For details that are fixed codes of the REST interface."""


def sentence(error: CatervaError) -> str:
    """Return what an error says to the reader of a page."""
    return _SENTENCES.get(error.detail, error.detail)


async def on_caterva_error(request: Request, error: Exception) -> Response:
    """Answer with an error of this package."""
    assert isinstance(error, CatervaError)
    reader_of(request).answered(error)
    answer = await _page(request, error.status, sentence(error))
    if error.retry == "later":
        answer.headers["Retry-After"] = str(max(1, error.after_ms // 1000))
    return answer


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer with an error of Starlette: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    return await _page(request, error.status_code, error.detail)


async def on_any_error(request: Request, error: Exception) -> Response:
    """Log a programming error, and answer without its details."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return await _page(request, 500, "the server made a mistake")


async def _page(request: Request, status: int, text: str) -> Response:
    title = _TITLES.get(status) or http.HTTPStatus(status).phrase
    root, below = _place(request)
    return await rendering.page(
        request, "failure.html", status, title=title, text=text, code=status, root=root,
        below=below, advice=_ADVICE.get(status, "Start again from the list of roots."),
    )  # fmt: skip


def _place(request: Request) -> tuple[str, str]:
    """Return root and path of a dataset or directory whose page fails, whether it exists or not."""
    first, _, rest = request.url.path.strip("/").partition("/")
    if first != "roots":
        return "", ""
    root, _, below = urllib.parse.unquote(rest).partition("/")
    return root, "/".join(part for part in below.split("/") if part)
