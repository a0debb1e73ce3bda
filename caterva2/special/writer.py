"""Changes of a user's special roots: each is visible completely or not at all."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable

from caterva2.errors import BadName, BadUpload, Busy, NotFound, StaleVersion
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.model import Check, Expression, Upload, any_version
from caterva2.names import DatasetPath, Place, RootName, outermost
from caterva2.runtime.retry import retry_stale_async
from caterva2.runtime.uncancellable import in_thread, run_to_completion
from caterva2.sources.kinds import is_hidden, kind_of, suffix
from caterva2.special import appender, commit, files
from caterva2.special.computed import expressions
from caterva2.special.computed.dataset import ComputedDataset
from caterva2.special.copies import Copier, Roots
from caterva2.special.directory import os_errors
from caterva2.special.files import LooseFrame
from caterva2.special.incoming import Incoming, Staged
from caterva2.special.root import SpecialRoot
from caterva2.special.staging import staged
from caterva2.special.stored import StoredExpression
from caterva2.special.targets import Targets
from caterva2.special.trash import Trash, Trashed
from caterva2.special.uploads import archives
from caterva2.special.uploads.reception import base_name, receive

MISSING = "The specified path does not exist"
NewExpression = Callable[[Expression, DatasetPath, RootName | None], Awaitable[ComputedDataset]]


class Writer:
    """Changes the special roots of one user.

    Parameters
    ----------
    incoming : Incoming
    targets : Targets
    roots : Roots
        Where copies are made from.
    new_expression : callable
        Opens a new expression for a path, and for the root in which it is stored, if it is.
    trash : Trash
        Where removed things are kept for a while.
    owner : str
        Ident of the user; empty without login.
    limits : SpecialLimits
    """

    def __init__(
        self,
        incoming: Incoming,
        targets: Targets,
        roots: Roots,
        new_expression: NewExpression,
        trash: Trash,
        owner: str,
        limits: SpecialLimits = DEFAULTS.special,
    ) -> None:
        self._incoming = incoming
        self._roots = roots
        self._copier = Copier(targets.find, roots)
        self._targets = targets
        self._new_expression = new_expression
        self._trash = trash
        self._owner = owner
        self._limits = limits

    # --- new files ---

    async def upload(self, place: Place, upload: Upload, check: Check = any_version) -> str:
        """Store an uploaded file and return its path.

        Raises
        ------
        BadUpload, BadName, QuotaExceeded, Conflict
        """
        root = await self._targets.root(place, "uploading to")
        path = await self._targets.path(root, place, base_name(upload.name))
        check(root.entries.get(path))  # before its body is received
        async with staged(self._incoming) as file:
            await receive(upload, file, path, self._limits)
            await in_thread(lambda: files.check(file.path, path, self._limits))
            await run_to_completion(commit.put(root, file, path, check=check))
        return f"{root.name}/{path}"

    async def store_expression(self, place: Place, given: Expression, *, compute: bool) -> str:
        """Store an expression, or its result, and return its path.

        Raises
        ------
        BadExpression, NotFound, BadUpload, BadName, QuotaExceeded, Conflict
        """
        root = await self._targets.root(place, "writing to")
        path = await self._targets.path(root, place, place.path.basename)
        if kind_of(path) != "array":
            raise BadName(f"{path!r} is not the name of an array: it has to end with .b2nd")

        async def once() -> None:
            computed = await self._new_expression(given, path, None if compute else root.name)
            async with staged(self._incoming) as file:
                with os_errors(path):
                    if compute:
                        await computed.write(file)
                    else:
                        body = expressions.serialize(computed)
                        await in_thread(lambda: _write(body, file))
                await run_to_completion(commit.put(root, file, path))

        await retry_stale_async(
            once, exhausted=lambda: Busy("the operands keep changing", after_ms=1000)
        )
        return f"{root.name}/{path}"

    async def unpack(self, place: Place, upload: Upload) -> str:
        """Store the files of an uploaded archive as a new directory, and return its path.

        Raises
        ------
        BadUpload, BadName, QuotaExceeded, Conflict
        """
        root = await self._targets.root(place, "uploading to")
        kind, stem = archives.kind_of(base_name(upload.name))
        path = await self._targets.path(root, place, stem)
        async with staged(self._incoming) as archive, staged(self._incoming, tree=True) as tree:
            await receive(upload, archive, path, self._limits)
            with os_errors(path):
                await in_thread(lambda: archives.unpack(kind, archive.path, tree, self._limits))
            await run_to_completion(commit.put(root, tree, path, new=True))
        return f"{root.name}/{path}"

    async def append(self, place: Place, upload: Upload, check: Check = any_version) -> list[int]:
        """Append an uploaded array to a stored one and return the new shape.

        Raises
        ------
        BadUpload, QuotaExceeded
        """
        root = await self._targets.root(place, "appending to")
        path = place.path
        _check_array(root, path)
        _check_changeable(root, path)
        check(root.entries.get(path))
        async with staged(self._incoming) as file:
            await receive(upload, file, path, self._limits)
            data = await in_thread(lambda: _checked_array(file, path, self._limits))
            async with root.appending(path):
                return await retry_stale_async(
                    lambda: self._append(root, path, data, check),
                    exhausted=lambda: Busy(f"{root.name}/{path} keeps changing", after_ms=1000),
                )

    async def _append(
        self, root: SpecialRoot, path: DatasetPath, data: LooseFrame, check: Check
    ) -> list[int]:
        """Append to the current version; `StaleVersion` if it was replaced meanwhile."""
        _check_array(root, path)
        dataset = await root.dataset(path)
        if isinstance(dataset, StoredExpression):
            raise BadUpload("Target file must be a NDArray, not one that is computed")
        old, step = dataset.content, self._limits.decode_step
        async with staged(self._incoming) as grown:
            with os_errors(path):
                info = await in_thread(lambda: appender.append(old, data, grown, step))
            new = commit.put(root, grown, path, etag=old.info.etag, check=check)
            if await run_to_completion(new):
                return list(info.shape)
        raise StaleVersion(f"{root.name}/{path} was replaced")

    # --- stored files ---

    async def remove(self, place: Place, check: Check = any_version) -> str:
        """Remove a file, or a directory with its content, and return what was removed.

        Raises
        ------
        NotFound
        """
        root = await self._targets.root(place, "removing from")
        if is_hidden(place.below):
            raise NotFound(MISSING)
        _check_changeable(root, place.below)
        await run_to_completion(self._throw_away(root, place.below, check))
        return str(place)

    async def _throw_away(self, root: SpecialRoot, below: str, check: Check) -> None:
        """Move something into the trash."""
        with os_errors(below):
            item = await asyncio.to_thread(self._trash.begin, root.name, root.owner, below)
        try:
            await commit.take(root, below, self._trash.content_of(item), check)
        finally:
            await asyncio.to_thread(self._trash.end, item)

    # --- the trash ---

    def _mine(self, item: Trashed) -> bool:
        return item.owner in ("", self._owner)

    async def trash(self) -> list[Trashed]:
        """Return what the user may restore, the last one first."""
        return await asyncio.to_thread(self._trash.items, self._mine)

    async def restore(self, ident: str) -> str:
        """Move something from the trash to where it was, and return its path.

        Raises
        ------
        NotFound, Conflict, QuotaExceeded
        """
        item = self._trash.get(ident, self._mine)
        root = await self._targets.find(RootName(item.root))
        await run_to_completion(self._put_back(root, item.ident))
        return f"{item.root}/{item.below}" if item.below else item.root

    async def _put_back(self, root: SpecialRoot, ident: str) -> None:
        item = self._trash.claim(ident)
        try:
            with os_errors(item.below):
                content = self._trash.content_of(item)
                await commit.put_back(root, content, item.below, item.size)
        finally:
            await asyncio.to_thread(self._trash.end, item)

    async def empty_trash(self, ident: str = "") -> int:
        """Remove an item, or all that the user may restore, for good; return their bytes."""
        items = [self._trash.get(ident, self._mine)] if ident else await self.trash()
        for item in items:
            await in_thread(functools.partial(self._trash.drop, item))
        return sum(item.size for item in items)

    async def move(self, source: Place, to: Place, check: Check = any_version) -> str:
        """Move a file or directory and return its new path.

        Raises
        ------
        NotFound, BadUpload, BadName, Conflict
        """
        root = await self._targets.root(source, "moving from/to")
        other = await self._targets.root(to, "moving from/to")
        _check_changeable(root, source.below)
        thing = await in_thread(lambda: root.directory.thing(source.path))
        if thing == "nothing" or is_hidden(source.below):
            raise NotFound(MISSING)
        old, name = source.path, source.path.basename
        bare = thing == "file" and bool(suffix(name))
        path = await self._targets.path(other, to, name, bare=bare)
        if root is other and f"{path}/".startswith(f"{old}/"):
            raise BadUpload(f"{source} can't be moved onto or into itself")
        if thing == "file" and kind_of(path) != kind_of(old):
            file = root.directory.path / old
            await in_thread(lambda: files.check(file, path, self._limits))
        await run_to_completion(commit.rename(root, old, other, path, check))
        return f"{other.name}/{path}"

    async def copy(self, source: Place, to: Place, check: Check = any_version) -> str:
        """Copy a file, a directory or a root, fetched if necessary, and return the copy's path.

        Raises
        ------
        NotFound, BadUpload, BadName, QuotaExceeded, Conflict
        """
        other = await self._targets.root(to, "copying to")
        entries = await self._roots.entries(source.root)
        check(entries.get(DatasetPath(source.below)) if source.below else None)
        if source.below in entries:
            path = await self._copy_file(source, other, to, check)
        else:
            path = await self._copy_tree(source, list(entries), other, to)
        return f"{other.name}/{path}"

    async def _copy_file(
        self, source: Place, other: SpecialRoot, to: Place, check: Check
    ) -> DatasetPath:
        name = source.path.basename
        path = await self._targets.path(other, to, name, bare=bool(suffix(name)))
        if (source.root, source.below) == (to.root, path):
            raise BadUpload(f"{source} can't be copied onto itself")
        async with staged(self._incoming) as file:
            await self._copier.write(source.root, source.path, file)
            check((await self._roots.entries(source.root)).get(source.path))
            if kind_of(path) != kind_of(source.path):
                await in_thread(lambda: files.check(file.path, path, self._limits))
            await run_to_completion(commit.put(other, file, path))
        return path

    async def _copy_tree(
        self, source: Place, paths: list[DatasetPath], other: SpecialRoot, to: Place
    ) -> DatasetPath:
        prefix = f"{source.below}/" if source.below else ""
        # A special root has a container as a file, and what is in it with that.
        below = outermost([path[len(prefix) :] for path in paths if path.startswith(prefix)])
        if not below and source.below:
            raise NotFound(MISSING)
        name = source.path.basename if source.below else source.root.lstrip("@")
        path = await self._targets.path(other, to, name)
        for relative in below:
            files.check_name(DatasetPath(f"{path}/{relative}"))
        async with staged(self._incoming, tree=True) as tree:
            for relative in below:
                one = DatasetPath(f"{prefix}{relative}")
                await self._copier.write(source.root, one, tree, relative)
            await run_to_completion(commit.put(other, tree, path, new=True))
        return path


def _write(body: bytes, file: Staged) -> None:
    with file.open() as sink:
        sink.write(body)
        sink.finish()


def _check_array(root: SpecialRoot, path: DatasetPath) -> None:
    if path not in root.entries:
        raise BadUpload("Target file does not exist or is not a file")
    if kind_of(path) != "array":
        raise BadUpload("Target file must be a NDArray")


def _check_changeable(root: SpecialRoot, path: str) -> None:
    if container := root.directory.source.container_of(path):
        raise BadUpload(f"{root.name}/{path} is in the file {container}, which changes as a whole")


def _checked_array(file: Staged, path: DatasetPath, limits: SpecialLimits) -> LooseFrame:
    frame = LooseFrame(file.path, path, "array", limits)
    frame.check()
    return frame
