"""All datasets of a root or directory, described in one answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from caterva2.browsing.index import Level
from caterva2.errors import CatervaError
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName, below
from caterva2.rest.datasets import Branch, Totals
from caterva2.rest.datasets import Member as Description
from caterva2.rest.errors import error_body
from caterva2.runtime.lru import Lru
from caterva2.web import descriptions
from caterva2.web.reader import Member


class Members:
    """Makes pages of described datasets, and keeps the JSON of descriptions for the next one.

    Parameters
    ----------
    max_bytes : int
        Bytes of JSON that are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._made: Lru[tuple[RootName, DatasetPath], tuple[DatasetInfo, bytes]] = Lru(
            max_bytes, lambda made: len(made[1])
        )
        self._lock = threading.Lock()

    def prepare(self, root: RootName, found: Mapping[DatasetPath, Member]) -> None:
        """Make the JSON of some datasets of a page, while others of it are described."""
        for path, one in found.items():
            self._json(root, path, one)

    def page(
        self, root: RootName, directory: str, found: Mapping[DatasetPath, Member], size: int
    ) -> bytes:
        """Describe the datasets of a page of a directory, as JSON. Call this in a thread.

        ``size`` is the number of datasets of a full page, behind which there may be others.
        """
        described = {
            below([path], directory)[0]: self._json(root, path, one) for path, one in found.items()
        }
        last = next(reversed(described)) if len(described) == size else None
        items = b",".join(b"%b:%b" % (to_json(path), made) for path, made in described.items())
        return b'{"members":{%b},"after":%b}' % (items, to_json(last))

    def found(
        self,
        described: Sequence[tuple[RootName, DatasetPath, Member]],
        rest: Mapping[str, object],
    ) -> bytes:
        """Describe a page of what was found in roots, as JSON with more keys. Call in a thread."""
        items = (
            b"%b:%b" % (to_json(f"{root}/{path}"), self._json(root, path, one))
            for root, path, one in described
        )
        return b'{"found":{%b},%b' % (b",".join(items), to_json(rest)[1:])

    def level(self, root: RootName, level: Level, found: Mapping[DatasetPath, Member]) -> bytes:
        """Describe a page of a level of a root, as JSON. Call this in a thread."""
        groups: dict[str, Branch] = {
            one.name: {"datasets": one.datasets, "size": one.size} for one in level.branches
        }
        total: Totals = {"groups": level.branch_count, "datasets": level.dataset_count}
        members = (
            b"%b:%b" % (to_json(path.basename), self._json(root, path, found[path]))
            for path in level.paths
        )
        items, shown = b",".join(members), (to_json(groups), to_json(total), to_json(level.after))
        return b'{"groups":%b,"members":{%b},"total":%b,"after":%b}' % (
            shown[0], items, *shown[1:]
        )  # fmt: skip

    def _json(self, root: RootName, path: DatasetPath, one: Member) -> bytes:
        if not isinstance(one, DatasetInfo):
            return to_json(_described(one))
        known = self._made.get((root, path))
        if known is not None and known[0] is one:
            return known[1]
        made = to_json(_described(one))
        with self._lock:
            self._made.put((root, path), (one, made))
        return made


def _described(one: Member) -> Description:
    if isinstance(one, CatervaError):
        return {"error": error_body(one)}
    try:
        if isinstance(one, DatasetInfo):
            return descriptions.version(one)
        return descriptions.version(one.info, one.expression)
    except CatervaError as error:  # metadata that can't be read
        return {"error": error_body(error)}
