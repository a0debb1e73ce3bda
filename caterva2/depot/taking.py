"""Taking home: datasets, parts of them, directories and roots, into the cache or as files.

What was taken is noted before it is fetched, so that an interrupted take goes on with `sync`, or
when it is asked for again.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from caterva2.arrays import selection
from caterva2.client.client import Client
from caterva2.client.errors import Missing, Unreachable
from caterva2.client.objects.file import File
from caterva2.client.objects.group import Container
from caterva2.client.types import Deletion
from caterva2.depot.pins import Pins
from caterva2.errors import BadName, BadRequest, BadSelection, CatervaError, LoginNeeded
from caterva2.names import containers, outermost, parse_full
from caterva2.rest import paths
from caterva2.rest.paths import relative

Progress = Callable[[int, int | None], None]
Entry = dict[str, Any]
_NOTED = 2.0  # seconds between two notes of what was taken
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


@dataclass(frozen=True, slots=True)
class Item:
    """A dataset to take, or a part of it.

    Parameters
    ----------
    path : str
    key : str
        A slice without brackets; empty for all of it.
    etag : str
        Its version.
    nbytes : int
        About the bytes to fetch.
    error : str
        Why it can't be read; empty if it can.
    """

    path: str
    key: str
    etag: str
    nbytes: int
    error: str = ""


@dataclass(slots=True)
class Report:
    """Results of taking, or of bringing in step.

    Attributes
    ----------
    taken, unchanged, removed : list of str
        Paths that were fetched, that were there in this version, and that the subscriber does not
        have any more.
    failed : dict of str
        Reasons by paths.
    nbytes : int
        About the bytes of what was fetched.
    """

    taken: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    nbytes: int = 0


class Target(Protocol):
    """Where something is taken to.

    Attributes
    ----------
    state : Pins
        What was taken there.
    inside : bool
        Whether datasets in containers, such as HDF5 files, are taken; else these files.
    """

    state: Pins
    inside: bool

    def has(self, item: Item) -> bool:
        """Return whether a version that was taken is still there; or anything in its place."""
        ...

    def take(self, item: Item, progress: Callable[[int], None]) -> str:
        """Fetch what is missing of an item; return the version that is there now."""
        ...

    def note(self, path: str, *, whole: bool) -> None:
        """Keep what describes a directory or root, of which all is taken, or something in it."""
        ...

    def drop(self, path: str, key: str) -> None:
        """Remove what was taken."""
        ...


def text_of(key: Any) -> str:
    """Return a key as the text of a slice.

    Raises
    ------
    BadRequest
        If it has more than integers, slices and ``...``.
    """
    if key is None or (isinstance(key, tuple) and key == ()):
        return ""
    try:
        return selection.to_string(key)
    except (TypeError, BadSelection):
        raise BadRequest("a part to take consists of integers, slices and '...'") from None


def plan(client: Client, path: str, key: str = "", *, inside: bool) -> list[Item]:
    """Return what there is to take, with its size.

    Of a directory these are the datasets in containers, or the containers as files; a container
    that is named itself is taken as both, or as a file.

    Raises
    ------
    Missing
        If there is nothing of this path.
    BadRequest
        If a part of a directory is asked for, or of a byte string.
    """
    reachable(client)
    found = client.get(path)
    itself = [_item(str(found.path), key, found.meta)] if isinstance(found, File) else []
    if itself and (key or not inside or not isinstance(found, Container)):
        return itself
    if key:
        raise BadRequest(f"{path} is a directory: [{key}] is a part of a dataset")
    members = client.get_members(path)
    names = members.keys() - containers(members) if inside else outermost(members.keys())
    return itself + [_item(f"{path}/{name}", "", members[name]) for name in sorted(names)]


def _item(path: str, key: str, meta: dict[str, Any]) -> Item:
    try:
        parse_full(path)
    except BadName as error:
        return Item(path, key, "", 0, str(error))
    if "error" in meta:
        return Item(path, key, "", 0, str(meta["error"].get("detail", "it can't be read")))
    stored = meta.get("schunk", meta)
    nbytes = int(stored.get("cbytes", stored.get("nbytes", 0)))
    if key:
        if "shape" not in meta:
            raise BadRequest(f"{path} is no array: take all of it")
        shape, grid = tuple(meta["shape"]), tuple(meta["chunks"])
        count = selection.count_chunks(selection.parse(key, shape), grid)
        whole = selection.count_chunks(selection.whole(shape), grid)
        nbytes = nbytes * count // max(whole, 1)
    return Item(path, key, str(meta.get("etag", "")), nbytes)


def take(
    client: Client, target: Target, path: str, key: str = "", progress: Progress | None = None
) -> Report:
    """Take a dataset, a part of it, a directory or a root."""
    path = path.strip("/")
    found = plan(client, path, key, inside=target.inside)
    name = f"{path}[{key}]" if key else path
    with target.state.change() as entries:
        known = dict(entries.get(name, {}).get("datasets", {}))
        entries[name] = {"path": path, "key": key, "datasets": known}
    _note_above(target, path, found)
    return _taken(target, name, known, found, progress)


def _taken(
    target: Target, name: str, known: dict[str, str], found: list[Item],
    progress: Progress | None,
) -> Report:  # fmt: skip
    """Take what is not there in its version, and note each version, also after a crash soon."""
    found = _own(target, found)
    report, done, total = Report(), 0, sum(item.nbytes for item in found)
    now = {item.path: "" for item in found if not item.error} | known
    _note_versions(target, name, now)
    noted = time.monotonic()

    def add(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(min(done, total), total)

    try:
        for item in found:
            before = done
            if item.error:
                report.failed[item.path] = item.error
                continue
            with _failing(report, item.path):
                if item.etag and known.get(item.path) == item.etag and target.has(item):
                    report.unchanged.append(item.path)
                else:
                    now[item.path] = target.take(item, add)
                    report.taken.append(item.path)
                    report.nbytes += item.nbytes
            add(max(before + item.nbytes - done, 0))
            if time.monotonic() > noted + _NOTED:
                _note_versions(target, name, now)
                noted = time.monotonic()
    finally:
        _note_versions(target, name, now)
    return report


def _own(target: Target, found: list[Item]) -> list[Item]:
    """Refuse to take what would replace something that was never taken, such as a user's file."""
    entries = target.state.entries().values()
    taken = {(path, entry["key"]) for entry in entries for path in entry["datasets"]}
    return [
        replace(item, error="something else is in its place, which was not taken: move it away")
        if not item.error and (item.path, item.key) not in taken and _is_there(target, item)
        else item
        for item in found
    ]


def _is_there(target: Target, item: Item) -> bool:
    try:
        return target.has(item)
    except (CatervaError, OSError):  # raised again where it is taken
        return False


def _note_versions(target: Target, name: str, now: dict[str, str]) -> None:
    with target.state.change() as entries:
        if name in entries:
            entries[name]["datasets"] = now


@contextlib.contextmanager
def _failing(report: Report, path: str) -> Iterator[None]:
    """Report what is wrong with one dataset; without network, or room, the whole ends."""
    try:
        yield
    except (Unreachable, LoginNeeded):
        raise
    except CatervaError as error:
        report.failed[path] = str(error)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        report.failed[path] = f"it can't be a file here: {error.strerror or error}"


def sync(
    client: Client, target: Target, *, delete: Deletion = False, progress: Progress | None = None
) -> Report:
    """Bring all that was taken in step with the subscriber.

    What it does not have any more is reported, and stays unless ``delete`` is true. Where nothing
    is left of a directory or root, it stays unless ``delete`` is ``"all"``: its disk may only be
    unmounted there.
    """
    report = Report()
    for name, entry in sorted(target.state.entries().items()):
        reachable(client)
        with _failing(report, name):
            _bring_in_step(client, target, name, entry, report, delete=delete, progress=progress)
    return report


def _bring_in_step(
    client: Client, target: Target, name: str, entry: Entry, report: Report,
    *, delete: Deletion, progress: Progress | None,
) -> None:  # fmt: skip
    known: dict[str, str] = entry["datasets"]
    try:
        found = plan(client, entry["path"], entry["key"], inside=target.inside)
    except Missing as error:
        if error.is_foreign:
            raise
        found = []
    gone = sorted(known.keys() - {item.path for item in found})
    if delete is True and gone and not found and gone != [entry["path"]]:
        raise BadRequest(
            f"the subscriber has none of its {len(gone)} datasets any more: nothing is removed"
            " unless all are to be, by --delete-all, or delete='all'"
        )
    kept = {path: etag for path, etag in known.items() if not delete or path not in gone}
    for path in gone if delete else ():
        if known[path]:  # else nothing was ever taken: what is there is somebody's own
            target.drop(path, entry["key"])
    if not kept and delete and not found:
        with target.state.change() as entries:
            entries.pop(name, None)
    _note_above(target, entry["path"], found)
    one = _taken(target, name, kept, found, progress)
    report.taken += one.taken
    report.unchanged += one.unchanged
    report.failed |= one.failed
    report.nbytes += one.nbytes
    report.removed += gone


def _note_above(target: Target, path: str, found: list[Item]) -> None:
    """Keep what describes the directories that lead to what is taken."""
    above = {path.partition("/")[0]} if found else set()
    for item in found:
        parts = item.path.split("/")
        above |= {"/".join(parts[:end]) for end in range(1, len(parts))}
    for one in sorted(above):
        target.note(one, whole=f"{one}/".startswith(f"{path}/"))


def reachable(client: Client) -> None:
    """Make a request that no document answers, so that a missing network is an error."""
    client.transport.json(dict, "GET", relative(paths.ME))
