"""Atomic commit, removal and rename, under the root's lock.

While one of them runs, no other change and no scan of the root does, and no backup takes its last
look (`caterva2.special.pause`). A caller has to run each to
completion even if it is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from caterva2.errors import Conflict
from caterva2.model import Check, any_version
from caterva2.names import DatasetPath
from caterva2.special.incoming import Staged
from caterva2.special.root import SpecialRoot


async def put(
    root: SpecialRoot,
    staged: Staged,
    path: DatasetPath,
    *,
    new: bool = False,
    etag: str = "",
    check: Check = any_version,
) -> bool:
    """Move a staged file or directory into place.

    Parameters
    ----------
    root : SpecialRoot
    staged : Staged
    path : DatasetPath
    new : bool
        Whether nothing may be replaced: `Conflict` if the path exists.
    etag : str
        If given, only this version may be replaced; the result is False if it is another one.
    check : Check
        Of the version that is replaced.
    """
    async with root.pause.none(), root.changing:
        await _check(root, path, check)
        if etag:
            await root.followed.scan_held(path)
            entry = root.entries.get(path)
            if entry is None or entry.etag != etag:
                return False
        if new and await asyncio.to_thread(root.directory.thing, path) != "nothing":
            raise Conflict(f"{root.name}/{path} exists already")
        root.check_room(staged.counted, path)
        await asyncio.to_thread(root.directory.put, staged.path, path)
        await root.followed.scan_held(path)
        staged.committed()
    return True


async def take(root: SpecialRoot, below: str, to: Path, check: Check = any_version) -> None:
    """Move a file, a directory, or everything for the empty path, to another directory."""
    async with root.pause.none(), root.changing:
        await _check(root, below, check)
        try:
            await asyncio.to_thread(root.directory.take, below, to)
        finally:
            await root.followed.scan_held(below)


async def put_back(root: SpecialRoot, content: Path, below: str, size: int) -> None:
    """Move back what `take` moved to a directory, of ``size`` bytes.

    Raises
    ------
    Conflict
        If one of its names is taken.
    QuotaExceeded
    """
    prefix = below.rpartition("/")[0]
    async with root.pause.none(), root.changing:
        names = sorted(await asyncio.to_thread(os.listdir, content))
        paths = [DatasetPath(f"{prefix}/{name}" if prefix else name) for name in names]
        for path in paths:
            if await asyncio.to_thread(root.directory.thing, path) != "nothing":
                raise Conflict(f"{root.name}/{path} exists already")
        root.check_room(size)
        try:
            for name, path in zip(names, paths, strict=True):
                await asyncio.to_thread(root.directory.put, content / name, path)
        finally:
            await root.followed.scan_held(below)


async def rename(
    root: SpecialRoot,
    old: DatasetPath,
    other: SpecialRoot,
    path: DatasetPath,
    check: Check = any_version,
) -> None:
    """Move a file or directory within a root or to another one."""
    async with contextlib.AsyncExitStack() as locks:
        await locks.enter_async_context(root.pause.none())
        for one in sorted({root, other}, key=lambda one: (one.name, one.owner)):
            await locks.enter_async_context(one.changing)
        await _check(root, old, check)
        if other is not root:
            other.check_room(root.size_below(old), path)
        await asyncio.to_thread(root.directory.rename, old, other.directory, path)
        await root.followed.scan_held(old)
        await other.followed.scan_held(path)


async def _check(root: SpecialRoot, below: str, check: Check) -> None:
    """Check the version on the disk of what is about to change."""
    if check is not any_version:
        await root.followed.scan_held(below)
        check(root.entries.get(DatasetPath(below)) if below else None)
