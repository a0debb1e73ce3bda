"""What an origin signs can be checked, entry by entry, chunk by chunk and block by block"""

from __future__ import annotations

import asyncio
import dataclasses
import stat
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import blosc2
import numpy as np
import pytest

from caterva2.cache.proofs import ProofFile
from caterva2.errors import StartError
from caterva2.frames import blocks
from caterva2.limits.constants import PROOF_BYTES
from caterva2.model import CParams, DatasetInfo, Entry
from caterva2.names import DatasetPath, RootName, group_path
from caterva2.publisher import signatures
from caterva2.publisher.signatures import CatalogSignatures, OriginSignatures
from caterva2.runtime import statefile
from caterva2.signing import digests, keys, proofs, statements
from caterva2.signing.entries import EntriesDigest
from caterva2.sources.catalog import Step
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.wire.messages import Catalog

ROOT, PATH = RootName("foo"), DatasetPath("a.b2nd")


def entry(path: str, etag: str = "e", size: int = 1) -> Entry:
    return Entry(DatasetPath(path), "array", etag, size, 2.0)


def info(**changes: object) -> DatasetInfo:
    fields = {
        "path": PATH, "etag": "e", "mtime": 1.5, "kind": "array", "shape": (10,), "chunks": (5,),
        "blocks": (5,), "dtype": "<i8", "typesize": 8, "chunksize": 40, "blocksize": 40,
        "nbytes": 80, "cbytes": 90, "cparams": CParams(clevel=3), "vlmeta": {"b": b"1", "a": b"2"},
    }  # fmt: skip
    return DatasetInfo.model_validate(fields | changes)


def chunk(values: np.ndarray, **cparams: object) -> bytes:
    array = blosc2.asarray(values, chunks=values.shape, blocks=(100,), cparams=cparams)
    return bytes(array.schunk.get_chunk(0))


# --- keys ---


def test_a_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / keys.FILE
    key = keys.read_or_make(path, ROOT)
    assert keys.read_or_make(path, ROOT) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key.secret.hex() not in repr(key)
    path.write_bytes(path.read_bytes().replace(key.public[:8].encode(), b"00000000"))
    damaged = keys.read(path)
    assert damaged is not None
    with pytest.raises(StartError, match="is damaged"):
        keys.check(damaged, path)
    for content in (path.read_bytes()[:-30], b'{"secret": "", "public": 5, "signers": []}'):
        path.write_bytes(content)
        with pytest.raises(StartError, match="is damaged"):
            keys.read(path)
    path.chmod(0o640)
    with pytest.raises(StartError, match="mode 0640"):
        keys.read(path)


def test_a_key_of_format_1_signs_on_and_endorses_none(tmp_path: Path) -> None:
    """Its file is left as it is: an older version may be started again."""
    path = tmp_path / keys.FILE
    old, new = keys.make(), keys.make()
    first, second = (one.model_dump(mode="json") for one in old.successor(ROOT).signers)
    said = [first | {"key": new.public}, second | {"by": new.public}]  # signed without a root
    statefile.write(path, 1, {"secret": new.secret.hex(), "signers": said})
    content = path.read_bytes()
    found = keys.read_or_make(path, ROOT)
    keys.check(found, path)
    assert found == new.of(ROOT)
    assert keys.endorsed(ROOT, frozenset({old.public}), found.signers) == {old.public}
    assert path.read_bytes() == content


def test_a_signature_is_of_one_key_and_one_statement() -> None:
    key, other = keys.make(), keys.make()
    signature = key.signing()(b"this")
    assert keys.signed_by([other.public, key.public], signature, b"this")
    assert not keys.signed_by([other.public], signature, b"this")
    assert not keys.signed_by([key.public], signature, b"that")
    assert not keys.signed_by([key.public], b"", b"this")


def test_keys_endorse_each_other_while_one_is_replaced(tmp_path: Path) -> None:
    old = keys.make()
    new = old.successor(ROOT)
    keys.write(tmp_path / keys.FILE, new)
    assert keys.read(tmp_path / keys.FILE) == keys.read_or_make(tmp_path / keys.FILE, ROOT) == new
    both = {old.public, new.public}
    assert keys.endorsed(ROOT, frozenset({old.public}), new.signers) == both
    other = RootName("other")  # of which the first key may be that of the origin, too
    assert keys.endorsed(other, frozenset({old.public}), new.signers) == {old.public}
    assert [one.by for one in new.of(other).signers] == [new.public]
    assert new.of(ROOT) == new
    assert keys.endorsed(ROOT, frozenset({new.public}), new.signers) == {new.public}
    assert keys.endorsed(ROOT, frozenset({new.public}), new.signers, formers=True) == both
    forged = [one.model_copy(update={"follows": True}) for one in new.signers]
    assert keys.endorsed(ROOT, frozenset({new.public}), forged) == {new.public}
    stranger = keys.make()
    assert keys.endorsed(ROOT, frozenset({stranger.public}), new.signers) == {stranger.public}
    forged = dataclasses.replace(new, signers=stranger.successor(ROOT).signers).signers
    claimed = [one.model_copy(update={"by": old.public}) for one in forged]
    assert keys.endorsed(ROOT, frozenset({old.public}), claimed) == {old.public}
    assert keys.endorsed(ROOT, frozenset({new.public}), new.successor(ROOT).signers) > {new.public}


# --- the catalog ---


def test_a_digest_of_entries_is_that_of_all_of_them_however_it_was_reached() -> None:
    entries = {one.path: one for one in map(entry, [f"d{n}/x{n}.b2nd" for n in range(3000)])}
    digest, empty = EntriesDigest(entries.values()), EntriesDigest().value
    changed = [entry("d1/x1.b2nd", "f"), entry("new.b2nd"), entry("d2/x2.b2nd", size=7)]
    for one in changed:
        before = digest.value
        entries[one.path] = one
        assert digest.change([one.path], entries.get) != before
    del entries[DatasetPath("d7/x7.b2nd")]
    digest.change([DatasetPath("d7/x7.b2nd"), DatasetPath("never")], entries.get)
    assert digest.value == EntriesDigest(reversed(entries.values())).value
    assert digest.change(list(entries), {}.get) == empty


def test_each_field_of_an_entry_counts() -> None:
    path = DatasetPath("a")
    digest = EntriesDigest([entry("a")]).value
    others = [
        Entry(DatasetPath("b"), "array", "e", 1, 2.0), Entry(path, "frame", "e", 1, 2.0),
        Entry(path, "array", "f", 1, 2.0), Entry(path, "array", "e", 2, 2.0),
        Entry(path, "array", "e", 1, 3.0),
    ]  # fmt: skip
    assert all(EntriesDigest([other]).value != digest for other in others)
    assert EntriesDigest([entry("a")]).value == digest


def test_of_two_entries_with_one_path_readers_see_the_one_that_is_digested() -> None:
    """Else a mirror could show a dataset in the place of a group that the origin signed."""
    path = group_path("d")
    group, other = Entry(path, "group", "g", 0, 1.0), entry("a")
    forged = Entry(path, "array", "x", 9, 1.0)
    signed = EntriesDigest([group, other]).value
    for sent in ((forged, group, other), (group, other, forged)):
        copy = CatalogCopy()
        copy.take([Catalog(id=1, inst="i", rev=1, full=True, entries=sent)])
        digest = EntriesDigest([*copy.entries.values(), *copy.groups.values()]).value
        assert (digest == signed) == (copy.entry(path) == group)


def test_many_entries_are_digested_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is remembered for readers that do not ask any more."""
    monkeypatch.setattr(signatures, "AT_ONCE", 300)
    monkeypatch.setattr(signatures, "FORGOTTEN", 500)
    inline: list[int] = []
    change = EntriesDigest.change

    def changed(self: EntriesDigest, paths: Any, found: Any) -> bytes:
        if threading.current_thread() is threading.main_thread():
            inline.append(len(paths))
        return change(self, paths, found)

    monkeypatch.setattr(EntriesDigest, "change", changed)
    entries = {one.path: one for one in map(entry, [f"x{n}" for n in range(2048)])}
    followed = SimpleNamespace(entries=entries, rev=0, listen=lambda _: None)
    lease = SimpleNamespace(root=ROOT, inst="i", fence=1)
    made = CatalogSignatures(followed, lease, OriginSignatures(ROOT, keys.make()))  # type: ignore[arg-type]

    def put(count: int) -> None:
        new = [entry(f"x{n}", f"e{followed.rev}") for n in range(count)]
        followed.rev += 1
        entries.update({one.path: one for one in new})
        made._on_steps([Step(followed.rev, one.path, one) for one in new])

    async def run() -> None:
        for count in (0, 1, 400, 400, 2):
            put(count)
            await made.prepare()
            assert made.manifest().digest == EntriesDigest(entries.values()).value
        assert inline == [0, 1, 0, 0, 2]
        put(501)
        assert (made._digest, made._changed) == (None, set())
        await made.prepare()
        assert made.manifest().digest == EntriesDigest(entries.values()).value

    asyncio.run(run())


# --- descriptions ---


def test_each_field_of_a_description_counts_and_the_order_of_attributes_does_not() -> None:
    said = statements.description(ROOT, info())
    assert statements.description(ROOT, info(vlmeta={"a": b"2", "b": b"1"})) == said
    assert statements.description(ROOT, info(signature=b"x" * 64)) == said
    changes = {
        "path": "b.b2nd", "etag": "f", "mtime": 1.0, "dtype": "<f8", "cbytes": 91,
        "vlmeta": {"a": b"2"}, "attrs": {"a": b"1"}, "dims": ("x",), "metalayers": {"m": b"1"},
        "cparams": CParams(clevel=4), "shape": (9,), "nrows": 3, "columns": ("c",),
    }  # fmt: skip
    for name, value in changes.items():
        assert statements.description(ROOT, info(**{name: value})) != said, name
    assert statements.description(RootName("bar"), info()) != said


# --- chunks ---


@pytest.mark.parametrize(
    "count", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 63, 64)), 65, 200]
)
def test_each_chunk_has_a_proof_of_its_own(count: int) -> None:
    key, signed = keys.make(), []

    def signing(statement: bytes) -> bytes:
        signed.append(statement)
        return key.signing()(statement)

    found = {n * 3: bytes([n % 256]) * digests.SIZE for n in range(count)}
    made = proofs.sign(signing, ROOT, PATH, "e", found)
    assert len(signed) == -(-count // proofs.MOST)
    assert max(map(len, made.values())) <= PROOF_BYTES
    for n, digest in found.items():
        assert proofs.statement(ROOT, PATH, "e", n, digest, made[n])[0] in signed
    wrong = [
        (PATH, "f", 0, found[0], made[0]), (DatasetPath("b"), "e", 0, found[0], made[0]),
        (PATH, "e", 3, found[0], made[0]), (PATH, "e", 0, b"x" * digests.SIZE, made[0]),
    ]  # fmt: skip
    for given in wrong:
        assert proofs.statement(ROOT, *given)[0] not in signed
    for broken in (b"", made[0][:64], made[0] + b"x", made[0] + bytes(PROOF_BYTES)):
        with pytest.raises(ValueError, match="no proof"):
            proofs.statement(ROOT, PATH, "e", 0, found[0], broken)


def test_a_proof_that_was_written_in_part_is_none(tmp_path: Path) -> None:
    """A full disk or a crash leaves a part; the origin is asked for a proof that is missing."""
    path, found = tmp_path / "x.proofs", bytes(range(1, PROOF_BYTES + 1))
    kept = ProofFile(path)
    assert kept.get(0) == b""
    for n in (0, 3):
        kept.put(n, found[n:])
    assert [kept.get(n) for n in range(5)] == [found, b"", b"", found[3:], b""]
    kept.close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(50) + content[150:-1])
    assert [ProofFile(path).get(n) for n in (0, 3)] == [b"", b""]


@pytest.mark.parametrize("clevel", [0, 5])
def test_single_blocks_can_be_checked(clevel: int) -> None:
    whole = chunk(np.arange(1000), clevel=clevel)
    leaves = digests.leaves(whole)
    assert digests.of(whole) == digests.of_leaves(whole[:32], leaves)
    cut = blocks.cut_out_of(whole, [2, 7])
    payload = cut.payload[32:]
    parts = [payload[: cut.sizes[0]], payload[cut.sizes[0] :]]
    assert digests.have(leaves, cut.ids, parts)
    assert not digests.have(leaves, (2, 6), parts)
    assert not digests.have(leaves, cut.ids, [parts[0], parts[1][:-1] + b"\xff"])
    assert not digests.have(leaves, (2, 10), parts)
    other = bytearray(whole)
    other[-1] ^= 1
    assert digests.of(other) != digests.of(whole)


def test_chunks_that_are_not_divided_have_digests_too() -> None:
    zeros = chunk(np.zeros(1000, "<i8"))
    assert not digests.leaves(zeros)
    again = bytearray(zeros)
    again[16:22] = bytes(6)  # made anew, of an offset in a frame's index
    assert digests.of(again) == digests.of(zeros)
    once = chunk(np.full(1000, 7))
    assert digests.of(once) not in (digests.of(zeros), digests.of(chunk(np.full(1000, 8))))
    assert digests.of_piece(b"abc") != digests.of_piece(b"xyz")
