"""The moments of change in special roots.

Nobody else changes names in a root, or tells what they are, while one of them lasts. Each is to
be done to its end, whoever waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib

from caterva2.errors import Conflict
from caterva2.names import DatasetPath
from caterva2.special.incoming import Staged
from caterva2.special.root import SpecialRoot


async def put(
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
        made.placed()
    return True


async def take(root: SpecialRoot, below: str, gone: Staged) -> None:
    async with root.changing:
        try:
            await asyncio.to_thread(root.space.take, below, gone.path)
        finally:
            await root.look_again(below)


async def rename(
    root: SpecialRoot, old: DatasetPath, other: SpecialRoot, path: DatasetPath
) -> None:
    async with contextlib.AsyncExitStack() as held:
        for one in sorted({root, other}, key=lambda one: (one.name, one.owner)):
            await held.enter_async_context(one.changing)
        await asyncio.to_thread(root.space.rename, old, other.space, path)
        await root.look_again(old)
        await other.look_again(path)
