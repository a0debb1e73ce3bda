"""Calls below ``/zarr/`` and ``/zarr2/``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from caterva2.errors import CatervaError, NotFound
from caterva2.formats import zarr_documents
from caterva2.formats import zarr_names as names
from caterva2.formats.zarr_names import Key, Target
from caterva2.frames.shards.index import ShardIndex
from caterva2.rest import media, paths
from caterva2.rest.datasets import Document2, Document3
from caterva2.web import answers, conditions, ranges
from caterva2.web.api.datasets import PRECONDITIONS
from caterva2.web.operation import Operation, Parameter, Reply, json_reply
from caterva2.web.ranges import Content
from caterva2.web.reader import Dataset
from caterva2.web.zarr import contents, documents, opening

_DOCUMENT3 = "zarr.json"
_DOCUMENTS2 = (".zarray", ".zgroup", ".zattrs", ".zmetadata")


async def document3(request: Request) -> Response:
    target = names.parse(request.path_params["path"])
    path = await opening.array(request, target)
    if path is None:
        return await documents.of_group3(request, target)
    return await documents.of_array(request, target, path, documents.array3, _DOCUMENT3)


async def chunk3(request: Request) -> Response:
    text = request.path_params["path"]
    found = names.split_key3(text)
    if found is None:
        await opening.refuse(request, names.parse(text))
        raise NotFound(f"{text} does not exist in Zarr")
    target, key = names.parse(found[0]), found[1]

    async def work(dataset: Dataset) -> Response:
        info = dataset.info
        names.check_key(key, info.shape, info.chunks)
        storage = zarr_documents.storage_of(info, stored=dataset.expression is None)
        if storage == "values":
            return await _values(request, dataset, key)
        chunk = contents.Chunk(request, target.root, dataset, names.number(info, key))
        if storage == "blosc":
            return await _block(request, chunk, 0)
        index = await chunk.index()
        exact = not target.version and not opening.reads_bytes(request)
        return await _converted(
            request, chunk, index, contents.Shard(request, chunk, index, exact=exact)
        )

    return await opening.read_chunk(request, target, work)


async def _values(request: Request, dataset: Dataset, key: Key) -> Response:
    return await _answer(
        request, dataset, contents.Values(request, dataset, key), f'"{dataset.info.etag}"'
    )


async def _block(request: Request, chunk: contents.Chunk, block: int) -> Response:
    index = await chunk.index()
    return await _converted(request, chunk, index, contents.Block(request, chunk, index, block))


async def _converted(
    request: Request, chunk: contents.Chunk, index: ShardIndex, content: Content
) -> Response:
    """Answer with a shard, or with one block."""
    etag = f'"{chunk.dataset.info.etag}-{index.checksum:08x}"'
    return await _answer(request, chunk.dataset, content, etag)


async def _answer(request: Request, dataset: Dataset, content: Content, etag: str) -> Response:
    headers = answers.warning(offline=dataset.offline)
    if conditions.has_version(request, dataset.info.etag):
        return answers.not_modified(etag, headers)
    return await ranges.answer(request, content, etag, headers, media.BINARY)


async def place2(request: Request) -> Response:
    text = request.path_params["path"]
    below, _, name = text.rpartition("/")
    if name in _DOCUMENTS2 and below:
        return await _document2(request, names.parse(below), name)
    found = names.split_key2(text)
    if found is None:
        await opening.refuse(request, names.parse(text))
        raise NotFound(f"{text} does not exist in Zarr")
    try:
        return await _chunk2(request, names.parse(found[0]), found[1])
    except CatervaError:
        answer = opening.undecodable(request)
        if answer is None:
            raise
        return answer


async def _document2(request: Request, target: Target, name: str) -> Response:
    path = await opening.array(request, target)
    if path is not None and name in (".zarray", ".zattrs"):
        return await documents.of_array(request, target, path, documents.array2, name)
    if path is not None or name == ".zarray":
        raise NotFound(f"{target} has no {name}")
    if name == ".zmetadata":
        return await documents.of_consolidated2(request, target)
    return await documents.of_group2(request, target, name)


async def _chunk2(request: Request, target: Target, key: Key) -> Response:
    async def work(dataset: Dataset) -> Response:
        info = dataset.info
        storage = zarr_documents.storage_of(info, stored=dataset.expression is None)
        plain = storage == "values"
        grid = info.chunks if plain else info.blocks
        position = () if key == (0,) and not info.shape else key
        names.check_key(position, info.shape, grid)
        if plain:
            return await _values(request, dataset, position)
        at, block = names.block_of(info, position)
        chunk = contents.Chunk(request, target.root, dataset, names.number(info, at))
        return await _block(request, chunk, block)

    return await opening.read_chunk(request, target, work)


_HEADERS = ("ETag", "Accept-Ranges", "Warning")
_IF_NONE_MATCH = Parameter("If-None-Match", where="header")
_CONDITIONS = (
    Parameter("Range", where="header"), Parameter("If-Range", where="header"), _IF_NONE_MATCH,
    *PRECONDITIONS,
)  # fmt: skip
_FAILURES = (304, 400, 404, 409, 410, 412, 413, 502, 503, 504, 507)


def _chunk_replies(description: str, kind: object = bytes) -> dict[int, Reply]:
    whole = {media.BINARY: bytes} | ({} if kind is bytes else {media.JSON: kind})
    part = dict.fromkeys((media.BINARY, media.BYTE_RANGES), bytes)
    return {
        200: Reply(description, whole, _HEADERS),
        206: Reply("one range of it, or several", part, (*_HEADERS, "Content-Range")),
    }


OPERATIONS = (
    Operation(
        "GET", paths.ZARR_DOCUMENT, document3,
        "Describe an array or a group as Zarr version 3 does; ROOT@VERSION is one version",
        {200: json_reply(Document3, "the metadata", "ETag", "Warning")},
        failures=_FAILURES, parameters=(_IF_NONE_MATCH, *PRECONDITIONS),
    ),
    Operation(
        "GET", paths.ZARR, chunk3, "Read a chunk of an array, PATH/c/0/1, as Zarr version 3 has it",
        _chunk_replies("a shard, a chunk of Blosc, or values"),
        failures=(*_FAILURES, 416), parameters=_CONDITIONS,
    ),
    Operation(
        "GET", paths.ZARR2, place2, "Read metadata or a chunk, as Zarr version 2 has it",
        _chunk_replies("metadata, a chunk of Blosc, or values", Document2),
        failures=(*_FAILURES, 416), parameters=_CONDITIONS,
    ),
)  # fmt: skip
