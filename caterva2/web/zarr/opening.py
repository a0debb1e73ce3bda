"""Reading of the arrays that paths of Zarr name.

A missing chunk is a chunk of fill values in Zarr. So for a chunk nothing answers 404: an array that
is gone, was replaced or may not be read any more is `Gone`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from caterva2.errors import BadRequest, CatervaError, Gone, NotFound, StaleVersion, TooLarge
from caterva2.formats.zarr_names import SUFFIX, Target, resolve
from caterva2.names import DatasetPath
from caterva2.rest import media
from caterva2.runtime.retry import retry_stale_async
from caterva2.web import conditions
from caterva2.web.disconnect import until_disconnected
from caterva2.web.reader import Dataset
from caterva2.web.state import reader_of, state_of

METADATA = frozenset({"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"})
"""Names of metadata of both versions."""
T = TypeVar("T")
Work = Callable[[Dataset], Awaitable[T]]


async def array(request: Request, target: Target) -> DatasetPath | None:
    """Return the path of the array that a target names; None if it names none."""
    if not target.below:
        return None
    return resolve(await reader_of(request).entries(target.root), target.below)


async def read(request: Request, target: Target, path: DatasetPath, work: Work[T]) -> T:
    """Do something with an array, and again if its version changes; once it is pinned, it can't.

    Raises
    ------
    Gone
        If the pinned version is not available any more.
    """
    reader = reader_of(request)

    async def attempt() -> T:
        if target.version:
            dataset: Dataset = await reader.version(target.root, path, target.version)
        else:
            dataset = await reader.dataset(target.root, path)
        conditions.check_version(request, dataset.info)
        return await work(dataset)

    try:
        return await until_disconnected(request, retry_stale_async(attempt))
    except StaleVersion as error:
        if not target.version:
            raise
        raise Gone(f"{target} is not that version any more: {error.detail}") from None
    except CatervaError as error:
        if error.status != 502:
            raise
        raise error.about(f"{target.root}/{path}") from None


async def read_chunk(request: Request, target: Target, work: Work[T]) -> T:
    """Do something with the array of a chunk; whatever is not found is `Gone`."""
    try:
        path = await array(request, target)
        if path is None and target.version and target.below:
            path = DatasetPath(target.below.removesuffix(SUFFIX) + SUFFIX)  # may still be cached
        if path is None:
            raise NotFound(f"{target} is no array")
        return await read(request, target, path, work)
    except NotFound as error:
        raise Gone(f"{error.detail}; a chunk of it was requested") from None


def reads_bytes(request: Request) -> bool:
    """Whether any range makes sense: it is of a version that the client names, or for GDAL."""
    headers = request.headers
    return "if-match" in headers or "if-range" in headers or _is_gdal(request)


def _is_gdal(request: Request) -> bool:
    return request.headers.get("user-agent", "").startswith("GDAL/")


def undecodable(request: Request) -> Response | None:
    """Return an answer in place of an error, if it is for GDAL; None for other clients.

    GDAL takes each status but 200, and no bytes, for a missing chunk, and reads zeros. One byte is
    neither a chunk of Blosc nor of values, of which it would take as many as it needs.
    """
    if not _is_gdal(request):
        return None
    return Response(b"\0", headers={"Cache-Control": "no-store"}, media_type=media.BINARY)


async def refuse(request: Request, target: Target) -> None:
    """Refuse a path that is neither of metadata nor of a chunk.

    Raises
    ------
    BadRequest
        If it is a group, which fsspec takes for empty at 404, or lies within an array.
    TooLarge
        If it is a group whose metadata does not have that of all in it, so that they are listed.
    NotFound
        So are names of metadata, which clients look for to learn the version.
    """
    entries, above = await reader_of(request).entries(target.root), target.below
    while above and above.rpartition("/")[2] not in METADATA:
        if resolve(entries, above) is not None:
            raise BadRequest(f"{target} is no chunk of the array {target.root}/{above}")
        above = above.rpartition("/")[0]
    inside = (await (await reader_of(request).browse(target.root)).index()).below(target.below)
    if not target.below or (inside and inside[0] != target.below):
        most = state_of(request).limits.web.consolidated
        if len(inside) > most:
            why = f"{target} has {len(inside)} datasets, CONSOLIDATED is {most}: open a group of it"
            raise TooLarge(why)
        raise BadRequest(f"{target} is a group: open it with its consolidated metadata")
    raise NotFound(f"{target} does not exist in Zarr")
