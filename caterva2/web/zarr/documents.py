"""Metadata of arrays and groups, as clients of Zarr request it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from caterva2.errors import CatervaError, Gone, NotFound
from caterva2.formats import zarr_attributes, zarr_documents
from caterva2.formats.zarr_documents import Document
from caterva2.frames import attributes
from caterva2.limits.constants import READ_PIECE
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.rest import media
from caterva2.web import answers, conditions
from caterva2.web.disconnect import until_disconnected
from caterva2.web.reader import Dataset, Member
from caterva2.web.state import reader_of, state_of
from caterva2.web.zarr import names, opening
from caterva2.web.zarr.hierarchy import Hierarchy
from caterva2.web.zarr.names import Target

Made = Callable[[DatasetInfo, bool, str], list[tuple[str, Document]]]
"""Makes the documents of an array, by their names, of its description, whether it is stored, and
the path of its version."""


def array3(info: DatasetInfo, stored: bool, pinned: str) -> list[tuple[str, Document]]:
    """Return the document of an array of version 3."""
    storage = zarr_documents.storage_of(info, stored=stored)
    return [("zarr.json", zarr_documents.array3(info, storage, pinned))]


def array2(info: DatasetInfo, stored: bool, pinned: str) -> list[tuple[str, Document]]:
    """Return the documents of an array of version 2."""
    storage = zarr_documents.storage_of(info, stored=stored)
    return [
        (".zarray", zarr_documents.array2(info, storage)),
        (".zattrs", zarr_documents.attributes2(info, pinned)),
    ]


async def of_array(
    request: Request, target: Target, path: DatasetPath, made: Made, name: str
) -> Response:
    """Answer with a document of an array."""

    async def work(dataset: Dataset) -> Response:
        info = dataset.info
        headers = answers.warning(offline=dataset.offline)
        if conditions.has_version(request, info.etag):
            return answers.not_modified(f'"{info.etag}"', headers)
        pinned = names.pinned(target.root, info.etag, info.path)
        document = dict(made(info, dataset.expression is None, pinned))[name]
        return _json(document, headers | {"ETag": f'"{info.etag}"'})

    return await opening.read(request, target, path, work)


def _json(document: Document, headers: dict[str, str]) -> Response:
    return Response(to_json(document), headers=headers, media_type=media.JSON)


class Group:
    """A group: a directory of a root, or the root.

    Parameters
    ----------
    request : Request
    target : Target
    """

    def __init__(self, request: Request, target: Target) -> None:
        self.target = target
        self._reader = reader_of(request)
        self._limits = state_of(request).limits.web
        self.generation = ""
        self.inside = Hierarchy({}, [])
        self.attributes: Document = {}

    @property
    def note(self) -> dict[str, str]:
        """The generation of the root, and the path of this group in it."""
        pinned = names.pinned(self.target.root, self.generation, self.target.below)
        return {"etag": self.generation, "pinned": pinned}

    async def open(self) -> None:
        """Find what is in it, and its attributes.

        Raises
        ------
        NotFound
            If there is no such directory.
        Gone
            If it is pinned to a generation that is not the present one.
        """
        root, below = self.target.root, self.target.below
        entries = list((await self._reader.entries(root)).values())  # a thread reads it
        self.generation = await self._reader.generation(root)
        if self.target.version not in ("", self.generation):
            raise Gone(f"{root} has changed since {self.target.version}: open it anew")
        self.inside = await asyncio.to_thread(Hierarchy.of, entries, below)
        self.attributes, known = await self._attributes(below)
        if below and not self.inside.arrays and not known:
            raise NotFound(f"{self.target} is neither an array nor a group of arrays")

    async def _attributes(self, directory: str) -> tuple[Document, bool]:
        info = await self._reader.group(self.target.root, directory)
        forms = attributes.forms(info) if info else {}
        return zarr_attributes.attributes(forms), info is not None

    async def group_attributes(self, name: str) -> Document:
        """Return the attributes of a group in it."""
        below = self.target.below
        return (await self._attributes(f"{below}/{name}" if below else name))[0]

    async def inside_of(self, made: Made) -> list[bytes] | None:
        """Return the documents of all arrays in it, as entries of an object; None for too many."""
        if len(self.inside.arrays) > self._limits.consolidated:
            return None
        names = {path: name for name, path in self.inside.arrays.items()}
        entries: list[bytes] = []
        after, size, room = "", self._limits.members, self._limits.consolidated_bytes
        while True:
            found = await self._reader.members(self.target.root, self.target.below, after, size)
            page = [(names[path], one) for path, one in found.items() if path in names]
            more = await asyncio.to_thread(self._entries, page, made)
            room -= sum(map(len, more))
            entries += more
            if room < 0:
                return None
            if len(found) < size:
                return entries
            after = list(found)[-1]

    def _entries(self, page: list[tuple[str, Member]], made: Made) -> list[bytes]:
        return [
            _entry(f"{name}/{file}" if made is array2 else name, document)
            for name, one in page
            for file, document in self.documents(one, made)
        ]

    def documents(self, one: Member, made: Made) -> list[tuple[str, Document]]:
        """Return the documents of an array; none of one that can't be read.

        Raises
        ------
        CatervaError
            If it could be read later: a reader would take it for missing.
        """
        if isinstance(one, CatervaError):
            if one.retry != "no":
                raise one
            return []
        info = one if isinstance(one, DatasetInfo) else one.info
        stored = isinstance(one, DatasetInfo) or one.expression is None
        if info.kind != "array":
            return []
        try:
            return made(info, stored, names.pinned(self.target.root, info.etag, info.path))
        except CatervaError:  # attributes that can't be read
            return []


async def of_group3(request: Request, target: Target) -> Response:
    """Answer with the ``zarr.json`` of a group, and with that of all that is in it."""
    group = Group(request, target)
    await until_disconnected(request, group.open())
    document = zarr_documents.group3(group.attributes, group.note)
    inside = await until_disconnected(request, group.inside_of(array3))
    if inside is None:
        return _json(document, {})
    for name in group.inside.groups:
        made = zarr_documents.group3(await group.group_attributes(name), {})
        inside.append(_entry(name, made))
    begin = to_json(document)[:-1] + (
        b',"consolidated_metadata":{"kind":"inline","must_understand":false,"metadata":{'
    )
    return _joined(begin, inside, b"}}}")


async def of_consolidated2(request: Request, target: Target) -> Response:
    """Answer with the ``.zmetadata`` of a group: all documents below it."""
    group = Group(request, target)
    await until_disconnected(request, group.open())
    inside = await until_disconnected(request, group.inside_of(array2))
    if inside is None:
        raise NotFound(
            f"{target} has {len(group.inside.arrays)} arrays, more than CONSOLIDATED, or more "
            "metadata than CONSOLIDATED_BYTES: open each of them"
        )
    own = {".zgroup": {"zarr_format": 2}, ".zattrs": group.attributes | {"caterva2": group.note}}
    for name in group.inside.groups:
        own[f"{name}/.zgroup"] = {"zarr_format": 2}
        own[f"{name}/.zattrs"] = await group.group_attributes(name)
    inside += [_entry(name, document) for name, document in own.items()]
    return _joined(b'{"zarr_consolidated_format":1,"metadata":{', inside, b"}}")


async def of_group2(request: Request, target: Target, name: str) -> Response:
    """Answer with ``.zgroup`` or ``.zattrs`` of a group."""
    group = Group(request, target)
    await until_disconnected(request, group.open())
    if name == ".zgroup":
        return _json({"zarr_format": 2}, {})
    return _json(group.attributes | {"caterva2": group.note}, {})


def _entry(name: str, document: Document) -> bytes:
    return to_json(name) + b":" + to_json(document)


def _joined(begin: bytes, entries: list[bytes], end: bytes) -> Response:
    """Answer with an object of these entries, in pieces: joining all would hold up the loop."""
    length = len(begin) + sum(map(len, entries)) + max(0, len(entries) - 1) + len(end)
    headers = {"Content-Length": str(length)}  # obstore reads no answer without it
    return StreamingResponse(_pieces(begin, entries, end), 200, headers, media.JSON)


async def _pieces(begin: bytes, entries: list[bytes], end: bytes) -> AsyncIterator[bytes]:
    piece, size = [begin], len(begin)
    for n, entry in enumerate(entries):
        piece += [b",", entry] if n else [entry]
        size += len(entry) + 1
        if size >= READ_PIECE:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join((*piece, end))
