"""What a user changes in the special roots: each change is there as a whole, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from caterva2.errors import BadName, BadUpload, Busy, NotFound, StaleVersion
from caterva2.model import Expression, Upload
from caterva2.names import DatasetPath, Place, RootName
from caterva2.runtime.uncancellable import in_thread, run_to_completion
from caterva2.sources.kinds import is_hidden, kind_of, suffix
from caterva2.special import appender, archives, commit, expressions, files
from caterva2.special.computed import Computed
from caterva2.special.copies import Copier, Find, Roots
from caterva2.special.directory import naming
from caterva2.special.files import LooseFrame
from caterva2.special.incoming import Incoming, Staged
from caterva2.special.root import SpecialRoot
from caterva2.special.staging import staged
from caterva2.special.stored import StoredExpression
from caterva2.special.uploads import own_name, receive

SPECIAL = "@personal or @shared or @public roots is allowed"
MISSING = "The specified path does not exist"
Express = Callable[[Expression, DatasetPath, RootName | None], Awaitable[Computed]]
TRIES = 5
"""How often a change starts over because what it began with was replaced."""


class Writer:
    """Changes the special roots of one user.

    Parameters
    ----------
    incoming : Incoming
    find : callable
        The special root of a name; `NotFound` if the user has none.
    roots : Roots
        Where copies come from.
    express : callable
        What a new expression means, for a path in the root in which it is stored, if it is.
    """

    def __init__(self, incoming: Incoming, find: Find, roots: Roots, express: Express) -> None:
        self._incoming = incoming
        self._find = find
        self._copier = Copier(find, roots)
        self._express = express

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
        path = await self._within(root, place, own_name(upload))
        async with staged(self._incoming) as came:
            await receive(upload, came, path)
            await self.put(root, came, path)
        return f"{root.name}/{path}"

    async def put(self, root: SpecialRoot, made: Staged, path: DatasetPath) -> None:
        """Give a file that is whole its place, after a look at what it is."""
        await in_thread(lambda: files.check(made.path, path))
        await run_to_completion(commit.put(root, made, path))

    async def express(self, place: Place, asked: Expression, *, compute: bool) -> str:
        """Store an expression, or its result; where that is.

        Raises
        ------
        BadExpression, NotFound, BadUpload, BadName, QuotaExceeded, Conflict
        """
        root = await self._root(place, "writing to")
        path = await self._within(root, place, place.path.basename)
        if kind_of(path) != "array":
            raise BadName(f"{path!r} is no name of an array: it has to end with .b2nd")
        for _ in range(TRIES):
            with contextlib.suppress(StaleVersion):
                made = await self._express(asked, path, None if compute else root.name)
                async with staged(self._incoming) as file:
                    with naming(path):
                        if compute:
                            await made.write(file)
                        else:
                            body = expressions.stored(made)
                            await in_thread(lambda: _write(body, file))  # noqa: B023 - waited for
                    await run_to_completion(commit.put(root, file, path))
                return f"{root.name}/{path}"
        raise Busy("the operands change again and again", after_ms=1000)

    async def unpack(self, place: Place, upload: Upload) -> str:
        """Take the files of an archive in, as a new directory; where that is.

        Raises
        ------
        BadUpload, BadName, QuotaExceeded, Conflict
        """
        root = await self._root(place, "uploading to")
        kind, stem = archives.kind_of(own_name(upload))
        path = await self._within(root, place, stem)
        async with staged(self._incoming) as came, staged(self._incoming, tree=True) as made:
            await receive(upload, came, path)
            with naming(path):
                await in_thread(lambda: archives.unpack(kind, came.path, made))
            await run_to_completion(commit.put(root, made, path, new=True))
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
            await receive(upload, came, path)
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
        dataset = await root.dataset(path)
        if isinstance(dataset, StoredExpression):
            raise BadUpload("Target file must be a NDArray, not one that is computed")
        held = dataset.held
        async with staged(self._incoming) as made:
            with naming(path):
                info = await in_thread(lambda: appender.append(held, data, made))
            if await run_to_completion(commit.put(root, made, path, etag=held.info.etag)):
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
            await run_to_completion(commit.take(root, place.below, gone))
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
        await run_to_completion(commit.rename(root, old, other, path))
        return f"{other.name}/{path}"

    async def copy(self, source: Place, to: Place) -> str:
        """Copy a file, a directory or a root, fetching what is not here; where the copy is.

        Raises
        ------
        NotFound, BadUpload, BadName, QuotaExceeded, Conflict
        """
        other = await self._root(to, "copying to")
        entries = await self._copier.roots.entries(source.root)
        if source.below in entries:
            path = await self._copy_file(source, other, to)
        else:
            path = await self._copy_tree(source, list(entries), other, to)
        return f"{other.name}/{path}"

    async def _copy_file(self, source: Place, other: SpecialRoot, to: Place) -> DatasetPath:
        name = source.path.basename
        path = await self._within(other, to, name, bare=bool(suffix(name)))
        if (source.root, source.below) == (to.root, path):
            raise BadUpload(f"{source} can't be copied onto itself")
        async with staged(self._incoming) as made:
            await self._copier.write(source.root, source.path, made)
            if kind_of(path) != kind_of(source.path):
                await in_thread(lambda: files.check(made.path, path))
            await run_to_completion(commit.put(other, made, path))
        return path

    async def _copy_tree(
        self, source: Place, paths: list[DatasetPath], other: SpecialRoot, to: Place
    ) -> DatasetPath:
        prefix = f"{source.below}/" if source.below else ""
        below = [path[len(prefix) :] for path in paths if path.startswith(prefix)]
        if not below and source.below:
            raise NotFound(MISSING)
        name = source.path.basename if source.below else source.root.lstrip("@")
        path = await self._within(other, to, name)
        for relative in below:
            files.check_name(DatasetPath(f"{path}/{relative}"))
        async with staged(self._incoming, tree=True) as made:
            for relative in below:
                one = DatasetPath(f"{prefix}{relative}")
                await self._copier.write(source.root, one, made, relative)
            await run_to_completion(commit.put(other, made, path, new=True))
        return path


def _write(body: bytes, made: Staged) -> None:
    with made.open() as sink:
        sink.write(body)
        sink.finish()


def _check_array(root: SpecialRoot, path: DatasetPath) -> None:
    if path not in root.entries:
        raise BadUpload("Target file does not exist or is not a file")
    if kind_of(path) != "array":
        raise BadUpload("Target file must be a NDArray")


def _whole_array(came: Staged, path: DatasetPath) -> LooseFrame:
    frame = LooseFrame(came.path, path, "array")
    frame.check()
    return frame
