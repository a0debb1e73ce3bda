"""What a mirror sends is read only if the origin signed it; the next provider is asked then"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mirrorworld import FENCE, INST, PATH, ROOT, Served, World, world

from caterva2.errors import CatervaError, RootOffline
from caterva2.names import DatasetPath, RootName
from caterva2.signing import keys, statements
from caterva2.signing.checks import Forged
from caterva2.signing.entries import EntriesDigest
from caterva2.subscriber.publishers.choice import Behind
from caterva2.subscriber.trust.options import TrustOptions
from caterva2.wire import messages as m

KEY = keys.make()
OTHER = keys.make()
FIRST_USE = TrustOptions()
PINNED = TrustOptions(keys={ROOT: frozenset({KEY.public})})


@contextlib.asynccontextmanager
async def signed(
    directory: Path, trust: TrustOptions = FIRST_USE, begin: Any = lambda _: None
) -> AsyncIterator[World]:
    """A publisher that signs, and two mirrors, of which the first is preferred."""
    given = {"prefer": ["m1"], "trust": trust, "key": KEY, "begin": begin}
    async with world(directory, "m1", "m2", **given) as made:
        yield made


def resigned(reply: m.Catalog, key: keys.SigningKey, root: RootName = ROOT) -> m.Catalog:
    """A catalog with a signature by any key, of all entries that it has."""
    assert reply.manifest is not None
    digest = EntriesDigest(reply.entries).value
    bare = reply.manifest.model_copy(update={"digest": digest})
    signature = key.signing()(statements.manifest(root, bare))
    said = bare.model_copy(update={"signature": signature})
    return reply.model_copy(update={"manifest": said})


def of_another_root(reply: Any) -> Any:
    return resigned(reply, KEY, RootName("bar")) if isinstance(reply, m.Catalog) else reply


def with_another_key(reply: Any) -> Any:
    return resigned(reply, OTHER) if isinstance(reply, m.Catalog) else reply


def with_forged_entry(reply: Any) -> Any:
    if not isinstance(reply, m.Catalog):
        return reply
    entries = tuple(dataclasses.replace(one, size=one.size + 1) for one in reply.entries)
    return reply.model_copy(update={"entries": entries})


def with_entry_left_out(reply: Any) -> Any:
    return reply.model_copy(update={"entries": ()}) if isinstance(reply, m.Catalog) else reply


def unsigned(reply: Any) -> Any:
    fields = {
        m.PublisherHello: {"signers": ()}, m.Catalog: {"manifest": None},
        m.Info: {"signature": b""}, m.Chunks: {"proofs": ()},
    }  # fmt: skip
    return reply.model_copy(update=fields.get(type(reply), {}))


def with_forged_description(reply: Any) -> Any:
    forged = {"vlmeta": {"forged": b"\x01"}}
    return reply.model_copy(update=forged) if isinstance(reply, m.Info) else reply


def without_proofs(reply: Any) -> Any:
    return reply.model_copy(update={"proofs": ()}) if isinstance(reply, m.Chunks) else reply


@pytest.mark.parametrize(
    ("tamper", "why"),
    [
        (of_another_root, "by none of the keys"), (with_forged_entry, "other entries"),
        pytest.param(with_another_key, "by none of the keys", marks=pytest.mark.slow),
        pytest.param(with_entry_left_out, "other entries", marks=pytest.mark.slow),
        (unsigned, "catalog is not signed"), (with_forged_description, "by none of the keys"),
        (without_proofs, "chunk 0 of a.b2nd is not signed"),
    ],
)  # fmt: skip
def test_a_mirror_that_forges_is_left_for_the_next(
    tmp_path: Path, tamper: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    def begin(made: World) -> None:
        made.mirrors[0].tamper = tamper

    async def run() -> None:
        with caplog.at_level(logging.WARNING):
            async with signed(tmp_path, PINNED, begin) as made:
                await made.read(0, 1)
                info = await made.root.infos.one(PATH)
                assert not info.vlmeta
                assert made.root.entries[PATH] == made.ledger.entries[PATH]
                assert made.root.trust.refused > 0
                assert why in caplog.text
                assert "mirror m1" in caplog.text
                assert made.root.providers.choice.is_avoided("m1", time.monotonic())

    asyncio.run(run())


def forge(served: Served) -> None:
    served.flipped = served.forges = True


def test_flipped_bytes_with_digests_that_fit_are_refused(tmp_path: Path) -> None:
    """They fit the CRC-32 that is sent with them, so only the signature tells."""

    async def run() -> None:
        async with signed(tmp_path) as made:
            forge(made.mirrors[0])
            await made.read(0, 1, 2)
            assert made.mirrors[0].chunks() == 1
            assert made.root.trust.refused > 0
            forge(made.mirrors[1])
            forge(made.publisher)  # which is trusted by its connection
            made.mirrors[0].silent = made.mirrors[1].silent = True
            await made.read(5)
        async with signed(tmp_path / "other", TrustOptions("signed")) as made:
            for one in (*made.mirrors, made.publisher):
                forge(one)
            with pytest.raises(Forged):
                await made.read(0)
        async with signed(tmp_path / "third", TrustOptions("connection")) as made:
            forge(made.mirrors[0])
            await made.read(0)
            assert made.root.trust.refused == 0

    asyncio.run(run())


def test_an_old_catalog_is_refused_although_it_was_signed(tmp_path: Path) -> None:
    async def run() -> None:
        async with signed(tmp_path, PINNED) as made:
            mirror = made.mirrors[0]
            old = mirror.manifest(made.ledger.rev)
            made.rewrite(1)
            await made.root.sync()
            etag = made.root.entries[PATH].etag
            assert made.root.catalog.revision == made.ledger.rev

            def replayed(reply: Any) -> Any:
                if isinstance(reply, m.Catalog):
                    return reply.model_copy(update={"manifest": old})
                return reply

            mirror.tamper = replayed  # as if it were of the revision that it greets with
            await made.root.sync()
            assert made.root.trust.refused == 1
            assert made.root.entries[PATH].etag == etag

    asyncio.run(run())


def test_an_earlier_run_is_refused_although_it_was_signed(tmp_path: Path) -> None:
    """Its mirror at another site says that it reaches the origin, so fences do not tell."""

    def at_another_site(made: World) -> None:
        made.publisher.name = "m0"
        made.announce(mirror="m0")

    async def run() -> None:
        async with world(tmp_path, trust=PINNED, key=KEY, begin=at_another_site) as made:
            origin = made.publisher
            early = origin.manifest(made.ledger.rev)
            assert early is not None
            origin.inst, origin.fence = "j" * 16, FENCE + 1
            made.announce(mirror="m0", inst=origin.inst)
            await made.root.sync()
            assert made.root.catalog.inst == origin.inst
            origin.inst, origin.fence = INST, FENCE
            origin.tamper = lambda reply: (
                reply.model_copy(update={"manifest": early})
                if isinstance(reply, m.Catalog)
                else reply
            )
            made.announce(mirror="m0", inst=INST)
            with pytest.raises(Behind, match=f"that of .* under {FENCE + 1} is known"):
                await made.root.sync()
            origin.tamper = lambda reply: reply  # broker and publisher lost their fences
            await made.root.sync()
            assert made.root.catalog.inst == INST

    asyncio.run(run())


def test_a_change_counts_once_it_is_signed(tmp_path: Path) -> None:
    async def run() -> None:
        async with signed(tmp_path, PINNED) as made:
            rev, fence = made.root.catalog.revision, FENCE
            note = m.Change(
                root=ROOT, inst=INST, fence=fence, rev=rev + 1, op="put",
                path=DatasetPath("forged.b2nd"), kind="array", etag="x",
            )  # fmt: skip
            assert not made.root.note(note)
            beat = m.RootBeat(root=ROOT, inst=INST, fence=fence, rev=0)
            for _ in range(3):  # which would cast doubt on the copy
                assert made.root.note(beat)
            assert made.root.catalog.revision == rev
            made.rewrite(1)
            await made.root.sync()
            assert made.root.catalog.revision == made.ledger.rev
            assert made.root.catalog.entry(DatasetPath("forged.b2nd")) is None

    asyncio.run(run())


def test_a_mirror_without_a_signature_is_no_forger_while_its_origin_is_away(
    tmp_path: Path,
) -> None:
    def begin(made: World) -> None:
        made.mirrors[0].away = True
        made.mirrors[0].tamper = lambda reply: (
            reply.model_copy(update={"manifest": None}) if isinstance(reply, m.Catalog) else reply
        )

    async def run() -> None:
        async with signed(tmp_path, PINNED, begin) as made:
            await made.read(0, 1)
            assert made.mirrors[0].chunks() == 0
            assert made.root.trust.refused == 0

    asyncio.run(run())


def test_keys_are_pinned_at_the_first_use_and_replaced_by_those_that_they_endorse(
    tmp_path: Path,
) -> None:
    def begin(made: World) -> None:
        made.root.subscribed = True

    async def run() -> None:
        async with signed(tmp_path, TrustOptions("signed"), begin) as made:
            everything = (*made.mirrors, made.publisher)
            await made.read(0)
            new = KEY.successor(ROOT)
            made.mirrors[0].key = new  # the others have what was signed before
            made.rewrite(1)
            await made.root.sync()
            await made.read(1)
            made.mirrors[0].refuses = RootOffline("it has nothing of it")
            await made.read(2)
            assert made.root.trust.refused == 0
            for one in everything:
                one.refuses, one.key = None, OTHER
            made.rewrite(2)
            with pytest.raises(CatervaError):
                await made.root.sync()
            assert made.root.trust.refused > 0

    asyncio.run(run())


def test_an_origin_that_does_not_sign_is_read_unless_everything_has_to_be_signed(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with world(tmp_path, "m1", prefer=["m1"]) as made:
            await made.read(0)
            assert made.mirrors[0].chunks() == 1
        for trust in (TrustOptions("signed"), PINNED):
            with pytest.raises(Forged, match="the catalog is not signed by the origin of foo"):
                async with world(tmp_path / trust.trust, "m1", trust=trust):
                    pass

    asyncio.run(run())
