"""Reading of the dataset, or of the directory, that the path of a request names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request

from caterva2.errors import CatervaError
from caterva2.names import DatasetPath, RootName, parse_full, split_full
from caterva2.runtime.retry import retry_stale_async
from caterva2.web import conditions
from caterva2.web.disconnect import until_disconnected
from caterva2.web.operation import Parameter
from caterva2.web.reader import Data, Dataset
from caterva2.web.state import reader_of

T = TypeVar("T")
READING = (400, 404, 409, 412, 502, 503, 504)
"""HTTP statuses of the errors of reading a dataset."""


def directory_of(request: Request) -> tuple[RootName, str]:
    """Return the root and the path below it that a request names; the path may be empty."""
    root, rest = split_full(request.path_params["path"])
    return root, DatasetPath(rest) if rest else ""


PRECONDITIONS = (
    Parameter("If-Match", where="header"), Parameter("If-Unmodified-Since", where="header")
)  # fmt: skip


async def read(request: Request, work: Callable[[Dataset], Awaitable[T]]) -> T:
    """Do something with the dataset that a request names, and again if its version changes.

    Errors of the publisher's file are about the dataset, with its root.
    """
    root, path = parse_full(request.path_params["path"])
    data: Data = reader_of(request)

    async def attempt() -> T:
        dataset = await data.dataset(root, path)
        conditions.check_version(request, dataset.info)
        return await work(dataset)

    try:
        return await until_disconnected(request, retry_stale_async(attempt))
    except CatervaError as error:
        if error.status != 502:
            raise
        raise error.about(f"{root}/{path}") from None
