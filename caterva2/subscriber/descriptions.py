"""Descriptions of datasets and of directories.

A file that holds datasets is a directory too: its attributes are those of its group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence

from caterva2.errors import CatervaError, Gone
from caterva2.model import DatasetInfo
from caterva2.model.missing import missing
from caterva2.names import DatasetPath, group_path, page
from caterva2.subscriber.info_cache import Found, OnFound, leave
from caterva2.subscriber.remote_root import RemoteRoot

log = logging.getLogger(__name__)


async def dataset(root: RemoteRoot, path: DatasetPath) -> DatasetInfo:
    """Describe the current version of a dataset.

    Raises
    ------
    NotFound, SourceCorrupt, RootOffline
    """
    if path not in root.entries:
        raise missing(root.name, path, root.entries)
    return await root.infos.one(path)


async def version(root: RemoteRoot, path: DatasetPath, name: str) -> DatasetInfo:
    """Describe the version of a dataset that an etag, or a generation of the catalog, stands for.

    Raises
    ------
    Gone
        If it is neither the current version nor a cached one.
    SourceCorrupt, RootOffline
    """
    full = f"{root.name}/{path}"
    entry = root.entries.get(path)
    if entry is not None and (entry.etag == name or root.holds(name, path)):
        info = await dataset(root, path)
        if info.etag == name or root.holds(name, path):
            return info
    for info in await asyncio.to_thread(root.known_versions, path):
        if info.etag == name and info.path == path:
            return info
    raise Gone(f"{full} has no version {name} any more: open it anew")


async def directory(root: RemoteRoot, below: str) -> DatasetInfo | None:
    """Describe a directory of a root, or the root itself; None if it has no attributes.

    Raises
    ------
    SourceCorrupt, RootOffline
    """
    path = group_path(below)
    if path not in root.groups:
        return None
    info = await root.infos.one(path)
    await root.keep_descriptions([info])
    return info


async def members(
    root: RemoteRoot, below: str, after: str, max_count: int, on_found: OnFound = leave
) -> Found:
    """Describe the first datasets of a directory that follow a path, in order."""
    paths = list(root.entries)  # as they are now
    chosen = await asyncio.to_thread(page, paths, below, after, max_count)
    return await some(root, chosen, on_found=on_found)


async def some(
    root: RemoteRoot,
    paths: Sequence[DatasetPath],
    *,
    all_known: bool = True,
    on_found: OnFound = leave,
) -> Found:
    """Describe datasets; with ``all_known`` and ``on_found`` as `InfoCache.many` does.

    Attributes of a file that can't be read now are left out, with a line in the log.
    """
    found = await root.infos.many(paths, all_known=all_known, on_found=on_found)
    files = {
        path: info
        for path, info in found.items()
        if isinstance(info, DatasetInfo) and info.kind == "file" and group_path(path) in root.groups
    }
    groups = await _groups(root, list(files))
    return found | {path: _joined(files[path], group) for path, group in groups.items()}


async def remember(root: RemoteRoot, paths: Sequence[DatasetPath]) -> None:
    """Describe datasets, and keep the descriptions of the directories that they are in.

    Raises
    ------
    RootOffline
        If the publisher is away and one of them is not cached.
    """
    await root.infos.many(paths)
    above = {group_path(directory) for path in paths for directory in _upwards(path)}
    await _kept(root, sorted(above & root.groups.keys()))


def _upwards(path: str) -> Iterator[str]:
    """Yield a path, the directories above it, and the root."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""


async def _groups(root: RemoteRoot, files: Sequence[DatasetPath]) -> dict[DatasetPath, DatasetInfo]:
    owners = {group_path(path): path for path in files}
    try:
        found = await _kept(root, list(owners))
    except CatervaError as error:
        log.warning("attributes of %d files of %s: %s", len(files), root.name, error)
        return {}
    return {owners[path]: info for path, info in found.items()}


async def _kept(root: RemoteRoot, paths: Sequence[DatasetPath]) -> dict[DatasetPath, DatasetInfo]:
    """Describe groups, and keep the descriptions; log those that can't be described."""
    if not paths:
        return {}
    found = await root.infos.many(paths)
    infos = {path: info for path, info in found.items() if isinstance(info, DatasetInfo)}
    for path in found.keys() - infos.keys():
        log.warning("attributes of %s/%s: %s", root.name, path, found[path])
    await root.keep_descriptions(infos.values())
    return infos


def _joined(file: DatasetInfo, group: DatasetInfo) -> DatasetInfo:
    return file.model_copy(
        update={"attrs": group.attrs, "columns": group.columns, "nrows": group.nrows}
    )
