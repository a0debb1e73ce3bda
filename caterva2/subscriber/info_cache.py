"""Descriptions of the datasets of a root: from memory, from the cache, or from its publisher."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from caterva2.errors import BadMessage, CatervaError, NotFound, from_wire
from caterva2.frames import attributes
from caterva2.limits import DEFAULTS, SubscriberLimits
from caterva2.limits.constants import REQUEST_INFOS
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.lru import Lru
from caterva2.runtime.single_flight import SingleFlight
from caterva2.wire import messages
from caterva2.wire.messages import DataReply, DataRequest

Found = dict[DatasetPath, DatasetInfo | CatervaError]
OnFound = Callable[[Found], object]
"""Called in a thread with some descriptions, while the publisher makes others."""


def leave(_: Found) -> None:
    """Do nothing with descriptions before all are there."""


class Owner(Protocol):
    """The root whose datasets are described."""

    name: RootName

    def entry(self, path: DatasetPath) -> Entry | None:
        """Return the dataset or group of a path, as of the last catalog."""
        ...

    async def ask(self, request: DataRequest) -> DataReply:
        """Return the publisher's answer; `RootOffline` if it is away."""
        ...

    async def sync(self) -> None:
        """Bring the catalog in step."""
        ...

    def known_versions(self, path: DatasetPath) -> list[DatasetInfo]:
        """Read the descriptions of the cached versions of a dataset. Blocks."""
        ...


class InfoCache:
    """Describe datasets, asking the publisher only where memory and cache have no description.

    A description belongs to a version, so that of the catalog's version is as good as a new one.

    Parameters
    ----------
    owner : Owner
    limits : SubscriberLimits
    is_signed : callable, optional
        Says whether a description has the signature that is needed.
    """

    def __init__(
        self,
        owner: Owner,
        limits: SubscriberLimits = DEFAULTS.subscriber,
        is_signed: Callable[[DatasetInfo], bool] = lambda _: True,
    ) -> None:
        self._owner = owner
        self._is_signed = is_signed
        self._held: Lru[DatasetPath, DatasetInfo] = Lru(limits.descriptions)
        # What was asked for is kept, so a request goes on without those who waited for it.
        self._finding: SingleFlight[DatasetPath, DatasetInfo] = SingleFlight(cancel_abandoned=False)

    def forget(self, path: DatasetPath) -> None:
        """Drop the description of a dataset that has changed."""
        self._held.pop(path)

    async def one(self, path: DatasetPath) -> DatasetInfo:
        """Describe the current version of a dataset, asking the publisher once at most.

        Raises
        ------
        NotFound, SourceCorrupt, RootOffline
        """
        known = self.known(path)
        if known is not None:
            return known
        return await self._finding.run(path, lambda: self._find(path))

    async def many(
        self, paths: Sequence[DatasetPath], *, all_known: bool = True, on_found: OnFound = leave
    ) -> Found:
        """Describe the current versions of some datasets, with as few requests as possible.

        A dataset that can't be described has its error instead. With ``all_known``, `RootOffline`
        is raised if the publisher is away and one of them is not cached.
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
            found |= await self._find_all(missing, all_known, on_found)
        return {path: found[path] for path in paths}

    def known(self, path: DatasetPath) -> DatasetInfo | None:
        """Return the description of the current version of a dataset, None if it is not in memory.

        Raises
        ------
        NotFound
        """
        entry = self._owner.entry(path)
        if entry is None:
            raise NotFound(f"{self._owner.name}/{path} does not exist")
        known = self._held.get(path)
        if known is None or not entry.is_of(known):
            return None
        # One without a signature is of an origin that does not sign, as far as that is known.
        return known if not known.signature or self._is_signed(known) else None

    def _hold(self, info: DatasetInfo) -> DatasetInfo:
        self._held.put(info.path, info)
        return info

    async def _find(self, path: DatasetPath) -> DatasetInfo:
        cached = (await asyncio.to_thread(self._cached_ones, [path])).get(path)
        if cached is not None and self._is_whole(cached):
            return self._hold(cached)
        try:
            return await self._ask(path)
        except CatervaError:
            if cached is None:
                raise
            return self._hold(cached)

    async def _find_all(
        self, paths: Sequence[DatasetPath], all_known: bool, on_found: OnFound
    ) -> Found:
        cached = await asyncio.to_thread(self._cached_ones, paths)
        whole = {path for path, info in cached.items() if self._is_whole(info)}
        try:
            asked = await self._ask_all([path for path in paths if path not in whole], on_found)
        except CatervaError as error:
            if all_known and cached.keys() != set(paths):
                raise
            asked = dict.fromkeys(set(paths) - cached.keys(), error)
        return {path: self._hold(info) for path, info in cached.items()} | asked

    async def _ask(self, path: DatasetPath) -> DatasetInfo:
        reply = await self._owner.ask(messages.InfoRequest(path=path))
        if not isinstance(reply, messages.Info) or reply.path != path:
            raise BadMessage(f"the publisher answered {reply.type} to info?")
        attributes.check_description(reply)
        fields = {name: getattr(reply, name) for name in DatasetInfo.model_fields}
        info = DatasetInfo.model_construct(**fields)
        await self._in_step([info])
        return self._hold(info)

    def _cached_ones(self, paths: Sequence[DatasetPath]) -> dict[DatasetPath, DatasetInfo]:
        """Read the descriptions of those datasets whose current version is cached. Blocks."""
        found: dict[DatasetPath, DatasetInfo] = {}
        for path in paths:
            entry = self._owner.entry(path)
            for info in self._owner.known_versions(path) if entry is not None else ():
                if entry is not None and entry.is_of(info) and info.path == path:
                    found[path] = info
        return found

    async def _ask_all(self, paths: Sequence[DatasetPath], on_found: OnFound) -> Found:
        starts = range(0, len(paths), REQUEST_INFOS)
        batches = [paths[start : start + REQUEST_INFOS] for start in starts]
        results = await asyncio.gather(*(self._ask_some(batch, on_found) for batch in batches))
        found: Found = {}
        for result in results:
            found |= result
        infos = [info for info in found.values() if isinstance(info, DatasetInfo)]
        await self._in_step(infos)
        for info in infos:
            self._hold(info)
        return found

    async def _ask_some(self, paths: Sequence[DatasetPath], on_found: OnFound) -> Found:
        found: Found = {}
        while paths:
            reply = await self._owner.ask(messages.InfosRequest(paths=tuple(paths)))
            described = paths[: reply.done] if isinstance(reply, messages.Infos) else ()
            if not isinstance(reply, messages.Infos) or len(described) < reply.done:
                raise BadMessage(f"the publisher answered {reply.type} to infos?")
            answers: Found = {info.path: _checked(info) for info in reply.infos}
            answers |= {one.path: _refusal(one) for one in reply.refused}
            if answers.keys() != set(described):
                raise BadMessage("the publisher described other datasets than were requested")
            if on_found is not leave:
                await asyncio.to_thread(on_found, answers)
            found |= answers
            paths = paths[reply.done :]
        return found

    def _is_whole(self, info: DatasetInfo) -> bool:
        """Return whether a cached description has all fields, which a former version did not write.

        Its signature is one of these where it is needed.
        """
        complete = info.model_fields_set == DatasetInfo.model_fields.keys()
        return complete and self._is_signed(info)

    async def _in_step(self, infos: Sequence[DatasetInfo]) -> None:
        """Bring the catalog in step if it does not know a version that the publisher serves now."""
        known = [self._owner.entry(info.path) for info in infos]
        if any(e is None or e.etag != info.etag for e, info in zip(known, infos, strict=True)):
            await self._owner.sync()


def _checked(info: DatasetInfo) -> DatasetInfo | CatervaError:
    try:
        attributes.check_description(info)
    except CatervaError as error:
        return error.about(info.path)
    return info


def _refusal(refused: messages.Refused) -> CatervaError:
    return from_wire(refused.name, refused.detail, subject=refused.path)
