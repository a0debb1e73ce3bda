"""What a user changes in the special roots: each change is there as a whole, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from caterva2 import limits, selection
from caterva2.cache.datafile import Sealed
from caterva2.cache.fields import Values
from caterva2.errors import (
    BadUpload,
    Busy,
    Conflict,
    DeadlineExceeded,
    NotFound,
    StaleVersion,
)
from caterva2.model import DatasetInfo, Entry, Upload
from caterva2.names import DatasetPath, Place, RootName
from caterva2.roots.kinds import is_hidden, kind_of, suffix
from caterva2.roots.versions import open_beneath
from caterva2.selection import Selection
from caterva2.services.finishing import in_thread, staged, to_its_end
from caterva2.services.specialroot import SpecialRoot
from caterva2.spaces import appending, archives, files
from caterva2.spaces.files import LooseFrame
from caterva2.spaces.incoming import Incoming, Sink, Staged
from caterva2.spaces.space import naming

SPECIAL = "@personal or @shared or @public roots is allowed"
MISSING = "The specified path does not exist"
TRIES = 5
"""How often a change starts over because what it began with was replaced."""


class Source(Protocol):
    """A dataset that is copied."""

    @property
    def info(self) -> DatasetInfo: ...

    async def values(self, wanted: Selection) -> Values: ...

    async def frame(self, wanted: Selection) -> bytes | bytearray | Sealed: ...


class Roots(Protocol):
    """The roots as a user sees them."""

    async def entries(self, root: RootName) -> Mapping[DatasetPath, Entry]: ...

    async def dataset(self, root: RootName, path: DatasetPath) -> Source: ...


class Writer:
    """Changes the special roots of one user.

    Parameters
    ----------
    incoming : Incoming
    find : callable
        The special root of a name; `NotFound` if the user has none.
    roots : Roots
        Where copies come from.
    """

    def __init__(
        self, incoming: Incoming, find: Callable[[RootName], Awaitable[SpecialRoot]], roots: Roots
    ) -> None:
        self._incoming = incoming
        self._find = find
        self._roots = roots

    async def _root(self, place: Place, doing: str) -> SpecialRoot:
        if not place.root.is_special:
            raise BadUpload(f"Only {doing} {SPECIAL}")
        return await self._find(place.root)

    async def _within(
        self, root: SpecialRoot, place: Place, name: str, *, bare: bool = False
    ) -> DatasetPath:
        """Where a thing of some name goes: into a directory, or right to the place.

        Parameters
        ----------
        root : SpecialRoot
        place : Place
        name : str
        bare : bool
            Whether a place whose name has no ending is a directory, though there is none yet.
        """
        into = not place.below or place.is_directory or (bare and not suffix(place.below))
        if not into:
            into = await in_thread(lambda: root.space.thing(place.below)) == "directory"
        path = DatasetPath("/".join(filter(None, (place.below, name))) if into else place.below)
        files.check_name(path)
        return path

    # --- what comes in ---

    async def upload(self, place: Place, upload: Upload) -> str:
        """Take a file in; where it is now.

        Raises
        ------
        BadUpload, BadName, QuotaExceeded, Conflict
        """
        root = await self._root(place, "uploading to")
        path = await self._within(root, place, _own_name(upload))
        async with staged(self._incoming) as came:
            await _receive(upload, came, path)
            await self.put(root, came, path)
        return f"{root.name}/{path}"

    async def put(self, root: SpecialRoot, made: Staged, path: DatasetPath) -> None:
        """Give a file that is whole its place, after a look at what it is."""
        await in_thread(lambda: files.check(made.path, path))
        await to_its_end(_put(root, made, path))

    async def unpack(self, place: Place, upload: Upload) -> str:
        """Take the files of an archive in, as a new directory; where that is.

        Raises
        ------
        BadUpload, BadName, QuotaExceeded, Conflict
        """
        root = await self._root(place, "uploading to")
        kind, stem = archives.kind_of(_own_name(upload))
        path = await self._within(root, place, stem)
        async with staged(self._incoming) as came, staged(self._incoming, tree=True) as made:
            await _receive(upload, came, path)
            with naming(path):
                await in_thread(lambda: archives.unpack(kind, came.path, made))
            await to_its_end(_put(root, made, path, new=True))
        return f"{root.name}/{path}"

    async def append(self, place: Place, upload: Upload) -> list[int]:
        """Let an array grow by another one; its shape then.

        Raises
        ------
        BadUpload, QuotaExceeded
        """
        root = await self._root(place, "appending to")
        path = place.path
        _check_array(root, path)
        async with staged(self._incoming) as came:
            await _receive(upload, came, path)
            data = await in_thread(lambda: _whole_array(came, path))
            async with root.writing(path):
                for _ in range(TRIES):
                    with contextlib.suppress(StaleVersion):
                        _check_array(root, path)
                        shape = await self._appended(root, path, data)
                        if shape is not None:
                            return shape
        raise Busy(f"{root.name}/{path} is replaced again and again", after_ms=1000)

    async def _appended(
        self, root: SpecialRoot, path: DatasetPath, data: LooseFrame
    ) -> list[int] | None:
        """The shape after one try; None if the array was replaced meanwhile."""
        held = (await root.dataset(path)).held
        async with staged(self._incoming) as made:
            with naming(path):
                info = await in_thread(lambda: appending.append(held, data, made))
            if await to_its_end(_put(root, made, path, etag=held.info.etag)):
                return list(info.shape)
        return None

    # --- what is there ---

    async def remove(self, place: Place) -> str:
        """Remove a file, or a directory with all that is in it; what was removed.

        Raises
        ------
        NotFound
        """
        root = await self._root(place, "removing from")
        if is_hidden(place.below):
            raise NotFound(MISSING)
        async with staged(self._incoming, tree=True) as gone:
            await to_its_end(_take(root, place.below, gone))
        return str(place)

    async def move(self, source: Place, to: Place) -> str:
        """Move a file or directory; where it is now.

        Raises
        ------
        NotFound, BadUpload, BadName, Conflict
        """
        root = await self._root(source, "moving from/to")
        other = await self._root(to, "moving from/to")
        thing = await in_thread(lambda: root.space.thing(source.path))
        if thing == "nothing" or is_hidden(source.below):
            raise NotFound(MISSING)
        old, name = source.path, source.path.basename
        bare = thing == "file" and bool(suffix(name))
        path = await self._within(other, to, name, bare=bare)
        if root is other and f"{path}/".startswith(f"{old}/"):
            raise BadUpload(f"{source} can't be moved onto or into itself")
        if thing == "file" and kind_of(path) != kind_of(old):
            await in_thread(lambda: files.check(root.space.directory / old, path))
        await to_its_end(_rename(root, old, other, path))
        return f"{other.name}/{path}"

    async def copy(self, source: Place, to: Place) -> str:
        """Copy a file, a directory or a root, fetching what is not here; where the copy is.

        Raises
        ------
        NotFound, BadUpload, BadName, QuotaExceeded, Conflict
        """
        other = await self._root(to, "copying to")
        entries = await self._roots.entries(source.root)
        if source.below in entries:
            name = source.path.basename
            path = await self._within(other, to, name, bare=bool(suffix(name)))
            if (source.root, source.below) == (to.root, path):
                raise BadUpload(f"{source} can't be copied onto itself")
            async with staged(self._incoming) as made:
                await self._copied(source.root, source.path, made)
                if kind_of(path) != kind_of(source.path):
                    await in_thread(lambda: files.check(made.path, path))
                await to_its_end(_put(other, made, path))
            return f"{other.name}/{path}"
        prefix = f"{source.below}/" if source.below else ""
        below = [path[len(prefix) :] for path in entries if path.startswith(prefix)]
        if not below and source.below:
            raise NotFound(MISSING)
        name = source.path.basename if source.below else source.root.lstrip("@")
        path = await self._within(other, to, name)
        for relative in below:
            files.check_name(DatasetPath(f"{path}/{relative}"))
        async with staged(self._incoming, tree=True) as made:
            for relative in below:
                await self._copied(source.root, DatasetPath(f"{prefix}{relative}"), made, relative)
            await to_its_end(_put(other, made, path, new=True))
        return f"{other.name}/{path}"

    async def _copied(
        self, root: RootName, path: DatasetPath, made: Staged, relative: str = ""
    ) -> None:
        """Write a copy of a dataset; of its newest version if that changes meanwhile."""
        for _ in range(TRIES):
            with naming(path), contextlib.suppress(StaleVersion):
                await self._copied_once(root, path, await in_thread(lambda: made.open(relative)))
                return
        raise Busy(f"{root}/{path} changes again and again", after_ms=1000)

    async def _copied_once(self, root: RootName, path: DatasetPath, sink: Sink) -> None:
        try:
            if root.is_special:
                directory = (await self._find(root)).space.directory
                await in_thread(lambda: _copy_file(directory, path, sink))
            else:
                await _fetch(await self._roots.dataset(root, path), sink)
            await in_thread(sink.finish)
        finally:
            sink.close()


def _own_name(upload: Upload) -> str:
    """The name that a file has at its sender, without directories."""
    return upload.name.replace("\\", "/").rpartition("/")[2]


def _check_array(root: SpecialRoot, path: DatasetPath) -> None:
    if path not in root.entries:
        raise BadUpload("Target file does not exist or is not a file")
    if kind_of(path) != "array":
        raise BadUpload("Target file must be a NDArray")


def _whole_array(came: Staged, path: DatasetPath) -> LooseFrame:
    frame = LooseFrame(came.path, path, "array")
    frame.check()
    return frame


async def _receive(upload: Upload, came: Staged, path: DatasetPath) -> None:
    """Write a file as it comes in."""
    with naming(path):
        sink = await in_thread(came.open)
        try:
            buffer, more = bytearray(), True
            while more:
                piece = await _next(upload)
                buffer += piece or b""
                more = piece is not None
                if len(buffer) >= limits.UPLOAD_PIECE or (buffer and not more):
                    full, buffer = buffer, bytearray()
                    await in_thread(functools.partial(sink.write, full))
            await in_thread(sink.finish)
        finally:
            sink.close()


async def _next(upload: Upload) -> bytes | None:
    try:
        async with asyncio.timeout(limits.STALLED):
            return await anext(upload.pieces, None)
    except TimeoutError:
        raise DeadlineExceeded(f"nothing came for STALLED, {limits.STALLED:g} s") from None


async def _fetch(dataset: Source, sink: Sink) -> None:
    """Write a dataset as a file, all of one version."""
    info = dataset.info
    if info.kind != "file":
        frame = await dataset.frame(selection.whole(info.shape))
        await in_thread(lambda: _copy_frame(frame, sink))
        return
    for start in range(0, info.nbytes, limits.FILE_CHUNK):
        part = range(start, min(start + limits.FILE_CHUNK, info.nbytes))
        values = await dataset.values(Selection(info.shape, (part,)))
        await in_thread(functools.partial(sink.write, values.tobytes()))


def _copy_frame(frame: bytes | bytearray | Sealed, sink: Sink) -> None:
    if not isinstance(frame, Sealed):
        sink.write(frame)
        return
    for start in range(0, frame.size, limits.READ_PIECE):
        sink.write(frame.pread(limits.READ_PIECE, start))


def _copy_file(directory: Path, path: DatasetPath, sink: Sink) -> None:
    fd = open_beneath(str(directory), path)
    try:
        files.copy(fd, sink)
    finally:
        os.close(fd)


# --- the moments of change: nobody else changes names or tells what they are meanwhile ---


async def _put(
    root: SpecialRoot, made: Staged, path: DatasetPath, *, new: bool = False, etag: str = ""
) -> bool:
    """Give what was made its place.

    Parameters
    ----------
    root : SpecialRoot
    made : Staged
    path : DatasetPath
    new : bool
        Take nobody's place: `Conflict` if there is something.
    etag : str
        Take the place of this version only, if one is given; False if it is another one.
    """
    async with root.changing:
        if etag:
            await root.look_again(path)
            entry = root.entries.get(path)
            if entry is None or entry.etag != etag:
                return False
        if new and await asyncio.to_thread(root.space.thing, path) != "nothing":
            raise Conflict(f"{root.name}/{path} exists already")
        await asyncio.to_thread(root.space.put, made.path, path)
        await root.look_again(path)
    return True


async def _take(root: SpecialRoot, below: str, gone: Staged) -> None:
    async with root.changing:
        try:
            await asyncio.to_thread(root.space.take, below, gone.path)
        finally:
            await root.look_again(below)


async def _rename(
    root: SpecialRoot, old: DatasetPath, other: SpecialRoot, path: DatasetPath
) -> None:
    async with contextlib.AsyncExitStack() as held:
        for one in sorted({root, other}, key=lambda one: (one.name, one.owner)):
            await held.enter_async_context(one.changing)
        await asyncio.to_thread(root.space.rename, old, other.space, path)
        await root.look_again(old)
        await other.look_again(path)
