"""Small slices that are at hand, answered without the long way through routes and threads.

Nothing is decided here: names, policy, parameters and values are asked of those that the long
way asks. Where one of them refuses, or can't tell at once, the long way is gone, and tells why.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from caterva2.errors import CatervaError
from caterva2.names import parse_full
from caterva2.runtime.budget import Budget
from caterva2.web import answers, streams
from caterva2.web.params import fetch as wanting
from caterva2.web.reader import Readers

PATH = "/api/fetch/"


class QuickSlices:
    """Answers what needs nothing but a moment, and passes on all else.

    Parameters
    ----------
    app : ASGIApp
    readers : Readers
    budget : Budget
        Memory for small answers.
    """

    def __init__(self, app: ASGIApp, readers: Readers, budget: Budget) -> None:
        self._app = app
        self._readers = readers
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = None
        if scope["type"] == "http" and scope["method"] == "GET" and _asks_for_stream(scope):
            try:
                answer = self._answer(scope)
            except CatervaError:
                answer = None  # the long way tells what is wrong
        await (answer or self._app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        root, path = parse_full(scope["path"].removeprefix(PATH))
        user = scope.get("state", {}).get("user")
        dataset = self._readers.for_user(user).try_dataset(root, path)
        if dataset is None:
            return None
        asked = wanting.params_of_query(scope["query_string"])
        if asked.large:
            return None
        wanted = asked.at_once(dataset.info)
        told = answers.warning(offline=dataset.offline)
        return streams.try_answer(dataset, wanted, self._budget, told)


def _asks_for_stream(scope: Scope) -> bool:
    """Whether this is a fetch by a client that reads streams of values."""
    if not scope["path"].startswith(PATH):
        return False
    accept = [value for name, value in scope["headers"] if name == b"accept"]
    return bool(accept) and streams.accepts(accept[0].decode("latin-1"))
