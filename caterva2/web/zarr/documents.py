"""Metadata of arrays and groups, as clients of Zarr request it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from caterva2.errors import CatervaError, Gone, NotFound
from caterva2.formats import zarr_attributes, zarr_documents
from caterva2.formats import zarr_names as names
from caterva2.formats.zarr_consolidated import Consolidated
from caterva2.formats.zarr_documents import Document
from caterva2.formats.zarr_hierarchy import Hierarchy
from caterva2.formats.zarr_names import Target
from caterva2.frames import attributes
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.rest import media
from caterva2.web import answers, conditions
from caterva2.web.disconnect import until_disconnected
from caterva2.web.reader import Dataset, Member
from caterva2.web.state import reader_of, state_of
from caterva2.web.zarr import opening

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
        self._consolidating = state_of(request).consolidating
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

    async def inside_of(self, made: Made) -> Consolidated | None:
        """Return the documents of all that is in it; None for too many."""
        count = len(self.inside.arrays)
        if count > self._limits.consolidated:
            return None
        if count <= self._limits.members or self.target.root.is_special:
            found = await self._consolidated(made)  # computed arrays follow what is in other roots
        else:
            key = self.target.root, self.generation, self.target.below, 2 + (made is array3)
            found = await self._consolidating.get(key, lambda: self._consolidated(made))
        return found if found.size <= self._limits.consolidated_bytes else None

    async def _consolidated(self, made: Made) -> Consolidated:
        """Return the documents of all that is in it, or of as many as are too much."""
        found, arrays = Consolidated(), list(self.inside.arrays.items())
        browser = await self._reader.browse(self.target.root)
        for start in range(0, len(arrays), self._limits.members):
            page = arrays[start : start + self._limits.members]
            described = await browser.described([path for _, path in page])
            named = [(name, described[path]) for name, path in page]
            await asyncio.to_thread(self._add, found, named, made)
            if found.size > self._limits.consolidated_bytes:
                return found
        below = f"{self.target.below}/" if self.target.below else ""
        groups = {n: (await self._attributes(below + n))[0] for n in self.inside.groups}
        await asyncio.to_thread(_add_groups, found, groups, made)
        return found

    def _add(self, found: Consolidated, page: list[tuple[str, Member]], made: Made) -> None:
        for name, one in page:
            for file, document in self.documents(one, made):
                found.add(f"{name}/{file}" if made is array2 else name, document)

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


def _add_groups(found: Consolidated, groups: Mapping[str, Document], made: Made) -> None:
    for name, attrs in groups.items():
        if made is array3:
            found.add(name, zarr_documents.group3(attrs, {}))
        else:
            found.add(f"{name}/.zgroup", {"zarr_format": 2})
            found.add(f"{name}/.zattrs", attrs)


async def of_group3(request: Request, target: Target) -> Response:
    """Answer with the ``zarr.json`` of a group, and with that of all that is in it."""
    group = Group(request, target)
    await until_disconnected(request, group.open())
    document = zarr_documents.group3(group.attributes, group.note)
    inside = await until_disconnected(request, group.inside_of(array3))
    if inside is None:
        return _json(document, {})
    begin = to_json(document)[:-1] + (
        b',"consolidated_metadata":{"kind":"inline","must_understand":false,"metadata":{'
    )
    return _around(begin, inside, b"}}}")


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
    begin = b'{"zarr_consolidated_format":1,"metadata":' + to_json(own)[:-1]
    return _around(begin + b"," * bool(inside.size), inside, b"}}")


async def of_group2(request: Request, target: Target, name: str) -> Response:
    """Answer with ``.zgroup`` or ``.zattrs`` of a group."""
    group = Group(request, target)
    await until_disconnected(request, group.open())
    if name == ".zgroup":
        return _json({"zarr_format": 2}, {})
    return _json(group.attributes | {"caterva2": group.note}, {})


def _around(begin: bytes, inside: Consolidated, end: bytes) -> Response:
    """Answer with an object of these entries, piece by piece."""

    async def pieces() -> AsyncIterator[bytes]:
        yield begin
        found = inside.pieces()
        while piece := await asyncio.to_thread(next, found, b""):
            yield piece
        yield end

    length = len(begin) + inside.size + len(end)
    headers = {"Content-Length": str(length)}  # obstore reads no answer without it
    return StreamingResponse(pieces(), 200, headers, media.JSON)
