"""What is known of the datasets of a root, and how the rest is learned."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

from caterva2 import limits
from caterva2.errors import BadMessage, CatervaError, NotFound, from_wire
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, RootName
from caterva2.wire import messages
from caterva2.wire.messages import DataReply, DataRequest

HELD = 10_000
"""Descriptions held per root."""
Found = dict[DatasetPath, DatasetInfo | CatervaError]


class Owner(Protocol):
    """The root whose datasets are described."""

    name: RootName

    @property
    def entries(self) -> Mapping[DatasetPath, Entry]:
        """The datasets, as of the last catalog."""
        ...

    async def ask(self, request: DataRequest) -> DataReply:
        """The publisher's answer; `RootOffline` if it is away."""
        ...

    async def sync(self) -> None:
        """Bring the catalog in step."""
        ...

    def known_versions(self, path: DatasetPath) -> list[DatasetInfo]:
        """Descriptions of the versions that something is cached of. Blocks."""
        ...


class Descriptions:
    """Describes datasets, from memory, from the cache, or by asking the publisher.

    All that a description tells belongs to the version, so one of the catalog's version is as
    good as a new one, and does not need the publisher.

    Parameters
    ----------
    owner : Owner
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._held: OrderedDict[DatasetPath, DatasetInfo] = OrderedDict()
        self._asking: dict[DatasetPath, asyncio.Task[DatasetInfo]] = {}

    def forget(self, path: DatasetPath) -> None:
        """The dataset has changed."""
        self._held.pop(path, None)

    async def one(self, path: DatasetPath) -> DatasetInfo:
        """Describe the current version of a dataset, asking the publisher once at most.

        Raises
        ------
        NotFound, SourceCorrupt, RootOffline
        """
        known = self.known(path)
        if known is not None:
            return known
        if path not in self._asking:
            task = asyncio.create_task(self._find(path))
            self._asking[path] = task
            task.add_done_callback(lambda _: self._asking.pop(path))
        return await asyncio.shield(self._asking[path])

    async def many(self, paths: Sequence[DatasetPath]) -> Found:
        """Describe the current versions of some datasets, with as few requests as can be.

        What can't be described has its error instead. `RootOffline` is raised only if nothing
        can be told of any of them.
        """
        found: Found = {}
        missing: list[DatasetPath] = []
        for path in paths:
            try:
                known = self.known(path)
            except NotFound as error:
                found[path] = error
            else:
                if known is None:
                    missing.append(path)
                else:
                    found[path] = known
        if missing:
            cached = await asyncio.to_thread(self._cached_ones, missing)
            found |= {path: self._hold(info) for path, info in cached.items()}
            found |= await self._ask_all([path for path in missing if path not in cached])
        return {path: found[path] for path in paths}

    def known(self, path: DatasetPath) -> DatasetInfo | None:
        """The description of the current version of a dataset, if it is in memory.

        Raises
        ------
        NotFound
        """
        entry = self._owner.entries.get(path)
        if entry is None:
            raise NotFound(f"{self._owner.name}/{path} does not exist")
        known = self._held.get(path)
        if known is None or known.etag != entry.etag:
            return None
        self._held.move_to_end(path)
        return known

    def _hold(self, info: DatasetInfo) -> DatasetInfo:
        self._held[info.path] = info
        while len(self._held) > HELD:
            self._held.popitem(last=False)
        return info

    async def _find(self, path: DatasetPath) -> DatasetInfo:
        cached = await asyncio.to_thread(self._cached_ones, [path])
        if path in cached:
            return self._hold(cached[path])
        reply = await self._owner.ask(messages.InfoRequest(path=path))
        if not isinstance(reply, messages.Info) or reply.path != path:
            raise BadMessage(f"the publisher answered {reply.type} to info?")
        fields = {name: getattr(reply, name) for name in DatasetInfo.model_fields}
        info = DatasetInfo.model_construct(**fields)
        await self._in_step([info])
        return self._hold(info)

    def _cached_ones(self, paths: Sequence[DatasetPath]) -> dict[DatasetPath, DatasetInfo]:
        """Those of the catalog's versions that something is cached of. In a thread."""
        found: dict[DatasetPath, DatasetInfo] = {}
        entries = self._owner.entries
        for path in paths:
            entry = entries.get(path)
            for info in self._owner.known_versions(path) if entry is not None else ():
                if entry is not None and info.etag == entry.etag and info.path == path:
                    found[path] = info
        return found

    async def _ask_all(self, paths: Sequence[DatasetPath]) -> Found:
        starts = range(0, len(paths), limits.REQUEST_INFOS)
        batches = [paths[start : start + limits.REQUEST_INFOS] for start in starts]
        results = await asyncio.gather(*(self._ask_some(batch) for batch in batches))
        found: Found = {}
        for result in results:
            found |= result
        infos = [info for info in found.values() if isinstance(info, DatasetInfo)]
        await self._in_step(infos)
        for info in infos:
            self._hold(info)
        return found

    async def _ask_some(self, paths: Sequence[DatasetPath]) -> Found:
        found: Found = {}
        while paths:
            reply = await self._owner.ask(messages.InfosRequest(paths=tuple(paths)))
            told = paths[: reply.done] if isinstance(reply, messages.Infos) else ()
            if not isinstance(reply, messages.Infos) or len(told) < reply.done:
                raise BadMessage(f"the publisher answered {reply.type} to infos?")
            answers: Found = {info.path: info for info in reply.infos}
            answers |= {one.path: _refusal(one) for one in reply.refused}
            if answers.keys() != set(told):
                raise BadMessage("the publisher described other datasets than was asked for")
            found |= answers
            paths = paths[reply.done :]
        return found

    async def _in_step(self, infos: Sequence[DatasetInfo]) -> None:
        """Learn of changes whose notes are still on their way: what is served now counts."""
        entries = self._owner.entries
        if any(info.path not in entries or entries[info.path].etag != info.etag for info in infos):
            await self._owner.sync()


def _refusal(refused: messages.Refused) -> CatervaError:
    return from_wire(refused.name, refused.detail, subject=refused.path)
