"""Many datasets described at once, by a publisher and for a subscriber."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from dataserver import serving

from caterva2.errors import BadMessage, NotFound, RootOffline, SourceCorrupt
from caterva2.limits import DEFAULTS, Limits
from caterva2.limits.constants import REQUEST_INFOS
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, RootName
from caterva2.publisher import info_replies
from caterva2.sources.memory import MemorySource
from caterva2.subscriber.info_cache import InfoCache
from caterva2.wire import messages as m

ROOT = RootName("foo")


def source_of(count: int) -> MemorySource:
    source = MemorySource()
    frame = blosc2.asarray(np.arange(100)).to_cframe()
    for n in range(count):
        source.put(f"d{n:04}.b2nd", frame)
    return source


@dataclass
class Owner:
    """A root whose publisher answers out of a source, and may lie."""

    source: MemorySource
    name: RootName = ROOT
    asked: list[m.DataRequest] = field(default_factory=list)
    syncs: int = 0
    page: int = REQUEST_INFOS
    lie: Any = None
    cached: dict[DatasetPath, DatasetInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entries: dict[DatasetPath, Entry] = self.source.scan()

    def entry(self, path: DatasetPath) -> Entry | None:
        return self.entries.get(path)

    async def sync(self) -> None:
        self.syncs += 1
        self.entries = self.source.scan()

    def known_versions(self, path: DatasetPath) -> list[DatasetInfo]:
        return [self.cached[path]] if path in self.cached else []

    async def ask(self, request: m.DataRequest) -> m.DataReply:
        self.asked.append(request)
        assert isinstance(request, m.InfosRequest)
        infos, refused = [], []
        for path in request.paths[: self.page]:
            try:
                infos.append(self.source.info(path))
            except NotFound as error:
                refused.append(m.Refused(path=path, name=error.name, detail=error.detail))
        done = len(infos) + len(refused)
        reply = m.Infos(id=0, done=done, infos=tuple(infos), refused=tuple(refused))
        return self.lie(reply) if self.lie else reply


def many(owner: Owner, paths: Sequence[DatasetPath] | None = None) -> dict[DatasetPath, Any]:
    return asyncio.run(InfoCache(owner).many(sorted(paths or owner.entries)))


def test_thousand_datasets_take_a_few_requests() -> None:
    owner = Owner(source_of(1000))
    found = many(owner)
    assert found == {path: owner.source.info(path) for path in owner.entries}
    assert len(owner.asked) == 4


def test_what_did_not_fit_is_asked_for_again() -> None:
    owner = Owner(source_of(10), page=3)
    assert len(many(owner)) == 10
    assert len(owner.asked) == 4


def test_first_descriptions_are_given_before_the_last_ones_are_asked_for() -> None:
    owner, given = Owner(source_of(10), page=3), list[tuple[int, list[DatasetPath]]]()
    paths = sorted(owner.entries)

    def on_found(found: Any) -> None:
        given.append((len(owner.asked), list(found)))

    found = asyncio.run(InfoCache(owner).many(paths, on_found=on_found))
    assert given == [(n + 1, paths[3 * n : 3 * n + 3]) for n in range(4)]
    assert list(found) == paths


def cached(owner: Owner, path: DatasetPath, *without: str) -> DatasetInfo:
    """The description of a dataset as the cache keeps it, or kept it before it had a field."""
    fields = owner.source.info(path).model_dump(exclude=set(without))
    return DatasetInfo.model_validate(fields)


def test_what_is_known_is_not_asked_for() -> None:
    owner = Owner(source_of(3))
    first, second, third = sorted(owner.entries)
    owner.cached = {first: cached(owner, first)}

    async def run() -> None:
        infos = InfoCache(owner)
        await infos.many([first, second])
        await infos.many([first, second, third])

    asyncio.run(run())
    assert [request.paths for request in owner.asked if isinstance(request, m.InfosRequest)] == [
        (second,),
        (third,),
    ]


def test_dataset_that_can_not_be_described_does_not_keep_the_others_away() -> None:
    owner = Owner(source_of(3))
    gone, *others = sorted(owner.entries)
    owner.source.delete(gone)
    found = many(owner)
    assert isinstance(found[gone], NotFound)
    assert all(isinstance(found[path], DatasetInfo) for path in others)
    assert isinstance(many(owner, [DatasetPath("never.b2nd")])[DatasetPath("never.b2nd")], NotFound)


def test_version_that_the_catalog_does_not_know_brings_it_in_step() -> None:
    owner = Owner(source_of(2))
    path = min(owner.entries)
    owner.source.put(path, blosc2.asarray(np.arange(7)).to_cframe())
    assert many(owner)[path].shape == (7,)
    assert owner.syncs == 1


@pytest.mark.parametrize(
    "lie",
    [
        lambda reply: m.Pong(id=0, binst="b"),
        lambda reply: reply.model_copy(update={"infos": reply.infos[::-1][:1] * len(reply.infos)}),
        lambda reply: reply.model_copy(update={"done": reply.done + 1}),
    ],
)
def test_answer_that_was_not_asked_for_is_refused(lie: Any) -> None:
    with pytest.raises(BadMessage):
        many(Owner(source_of(3), lie=lie))


def away(_: m.Infos) -> m.Infos:
    raise RootOffline("foo is offline")


def test_publisher_that_is_away_is_told() -> None:
    with pytest.raises(RootOffline):
        many(Owner(source_of(3), lie=away))


def test_description_that_a_former_version_cached_is_asked_for_again() -> None:
    owner = Owner(source_of(1))
    [path] = owner.entries
    owner.cached = {path: cached(owner, path, "attrs")}
    assert many(owner)[path] == owner.source.info(path)
    assert len(owner.asked) == 1


def test_description_that_a_former_version_cached_counts_while_the_publisher_is_away() -> None:
    owner = Owner(source_of(1), lie=away)
    [path] = owner.entries
    owner.cached = {path: cached(owner, path, "attrs")}
    assert many(owner) == owner.cached


def test_attribute_that_is_none_keeps_only_its_dataset_away() -> None:
    def forged(reply: m.Infos) -> m.Infos:
        first, *others = reply.infos
        bad = first.model_copy(update={"attrs": {"title": b"\x91\x01"}})
        return reply.model_copy(update={"infos": (bad, *others)})

    owner = Owner(source_of(3), lie=forged)
    first, *others = sorted(owner.entries)
    found = many(owner)
    assert isinstance(found[first], SourceCorrupt)
    assert found[first].detail.startswith(f"{first}: attribute 'title': it is no attribute")
    assert all(isinstance(found[path], DatasetInfo) for path in others)


def ask(source: MemorySource, *paths: str, limits: Limits = DEFAULTS) -> m.Infos:
    """What a publisher's data socket answers."""

    async def run() -> m.Infos:
        async with serving(limits, source) as server:
            request = m.InfosRequest(paths=tuple(map(DatasetPath, paths)))
            reply = await server.requester().ask(request)
        assert isinstance(reply, m.Infos)
        return reply

    return asyncio.run(run())


def test_publisher_describes_what_it_can_and_names_the_rest() -> None:
    source = source_of(2)
    source.put("broken.b2nd", b"not a frame")
    reply = ask(source, "d0000.b2nd", "broken.b2nd", "gone.b2nd", "d0001.b2nd")
    assert [info.path for info in reply.infos] == ["d0000.b2nd", "d0001.b2nd"]
    assert {one.path: one.name for one in reply.refused} == {
        "broken.b2nd": SourceCorrupt.name,
        "gone.b2nd": NotFound.name,
    }


@pytest.mark.parametrize("bound", [{"infos_bytes": 2000}, {"infos_time": -1.0}])
def test_reply_ends_when_it_is_long_enough(bound: dict[str, Any]) -> None:
    limits = replace(DEFAULTS, publisher=replace(DEFAULTS.publisher, **bound))
    reply = ask(source_of(20), *(f"d{n:04}.b2nd" for n in range(20)), limits=limits)
    assert 1 <= reply.done < 20
    assert [info.path for info in reply.infos] == [f"d{n:04}.b2nd" for n in range(reply.done)]


def test_description_with_much_metadata_fits_into_a_reply(tmp_path: Path) -> None:
    source = MemorySource()
    array = blosc2.asarray(np.arange(10))
    array.schunk.vlmeta["notes"] = "x" * 500_000
    for n in range(3):
        source.put(f"d{n}.b2nd", array.to_cframe())
    assert ask(source, "d0.b2nd", "d1.b2nd", "d2.b2nd").done == 1


def test_replies_are_made_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info_replies, "TURN", 60.0)
    source, order = source_of(40), list[int]()

    class Source:
        def info(self, path: DatasetPath, deadline: float = 0.0) -> DatasetInfo:
            order.append(threading.get_ident())
            return source.info(path)

    describer = info_replies.Describer(Source())
    request = m.InfosRequest(paths=tuple(sorted(source.scan())))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: describer.answer(request, n), range(4)))
    assert [reply.done for reply in found] == [40] * 4
    assert len([*itertools.groupby(order)]) <= 4
