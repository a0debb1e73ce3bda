"""The exact bytes of one example of each message, so that the protocol can't drift unseen.

``golden.txt`` holds a line for each: the name of the class and its header in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgpack
import pytest

from caterva2.frames import attributes
from caterva2.model import (
    CParams,
    DatasetInfo,
    Entry,
    Manifest,
    MirrorInfo,
    Model,
    Origin,
    RootInfo,
    Signer,
)
from caterva2.names import DatasetPath, RootName
from caterva2.wire import codec
from caterva2.wire import messages as m

GOLDEN = Path(__file__).with_name("golden.txt")
ROOT = RootName("foo")
PATH = DatasetPath("dir1/ds-2d.b2nd")
BINST, INST = "b0b0b0b0b0b0b0b0", "a1a1a1a1a1a1a1a1"
ETAG = "0123456789abcdef01234567"
WHERE: dict[str, Any] = {
    "root": ROOT,
    "inst": INST,
    "fence": 7,
    "endpoints": ("tcp://127.0.0.1:8001",),
}
MIRROR: dict[str, Any] = {
    "mirror": "m2", "endpoint": "tcp://127.0.0.1:8005", "path": ("m1",), "complete": True,
    "load": 50,
}  # fmt: skip
AWAY = RootInfo(**WHERE, mirrors=(MirrorInfo(**MIRROR),), away=True)
ORIGIN = Origin(inst=INST, fence=7, rev=12, path=("m1", "m2"), as_of=1700000000.5, away=True)
SIGNATURE = bytes(range(64))
MANIFEST = Manifest(
    inst=INST, fence=7, rev=12, time=1700000000.5, digest=bytes(32), signature=SIGNATURE
)
SIGNER = Signer(key="a" * 64, by="b" * 64, follows=True, signature=SIGNATURE)
ENTRY = Entry(path=PATH, kind="array", etag=ETAG, size=777, mtime=1700000000.5)
ARRAY = DatasetInfo(
    path=PATH, etag=ETAG, mtime=1700000000.5, kind="array", shape=(10, 20), chunks=(5, 5),
    blocks=(2, 3), dtype="<u2", typesize=2, chunksize=72, blocksize=12, nbytes=576, cbytes=600,
    cparams=CParams(codec=5, clevel=1), vlmeta={"a": b"\x01"},
    attrs={"a": attributes.pack(1)}, dims=("y", None),
    metalayers={"mine": b"\x01"}, signature=SIGNATURE,
)  # fmt: skip

EXAMPLES: dict[type[Any], tuple[m.Message, tuple[codec.Decoder[Any], ...]]] = {
    type(message): (message, decoders)
    for message, decoders in (
        (
            m.Hello(id=1, agent="caterva2/2026.11", versions=(1,)),
            (codec.control_requests, codec.data_requests),
        ),
        (
            m.BrokerHello(
                id=1, binst=BINST, xsub="tcp://127.0.0.1:8003", xpub="tcp://127.0.0.1:8004"
            ),
            (codec.control_replies,),
        ),
        (m.Register(id=2, takeover=False, **WHERE), (codec.control_requests,)),
        (
            m.Registered(id=2, root=ROOT, fence=8, lease_ms=10_000, beat_ms=1_000, binst=BINST),
            (codec.control_replies,),
        ),
        (
            m.Mirror(id=3, root=ROOT, inst=INST, fence=7, **MIRROR),
            (codec.control_requests,),
        ),
        (m.Renew(id=3, mirror="m2", roots=(ROOT,)), (codec.control_requests,)),
        (m.Renewed(id=3, binst=BINST, roots=(ROOT,)), (codec.control_replies,)),
        (m.Unmirror(id=3, root=ROOT, mirror="m2"), (codec.control_requests,)),
        (m.Ping(id=3), (codec.control_requests,)),
        (m.Pong(id=3, binst=BINST), (codec.control_replies,)),
        (m.Unregister(id=4, root=ROOT, inst=INST, fence=8), (codec.control_requests,)),
        (m.SnapshotRequest(id=5), (codec.control_requests,)),
        (
            m.Snapshot(
                id=5, binst=BINST, seq=42, part=0, parts=1, complete=True,
                roots=(RootInfo(**WHERE),), away=(AWAY,),
            ),
            (codec.control_replies,),
        ),
        (m.RootUp(seq=43, binst=BINST, **WHERE), (codec.roots_notes,)),
        (
            m.RootDown(seq=44, binst=BINST, root=ROOT, fence=7, reason="expired", away=AWAY),
            (codec.roots_notes,),
        ),
        (m.BrokerBeat(seq=44, binst=BINST), (codec.roots_notes,)),
        (
            m.Change(
                root=ROOT, inst=INST, fence=7, rev=12, op="put", path=PATH, kind="array",
                etag=ETAG, size=777, mtime=1700000000.5,
            ),
            (codec.root_notes,),
        ),
        (m.RootBeat(root=ROOT, inst=INST, fence=7, rev=12), (codec.root_notes,)),
        (
            m.PublisherHello(
                id=6, inst=INST, fence=7, root=ROOT, rev=12, origin=ORIGIN, signers=(SIGNER,)
            ),
            (codec.data_replies,),
        ),
        (m.CatalogRequest(id=7, inst=INST, since_rev=-1, cursor=""), (codec.data_requests,)),
        (
            m.Catalog(
                id=7, inst=INST, rev=12, full=False, cursor="", entries=(ENTRY,),
                deleted=(DatasetPath("old.b2nd"),), manifest=MANIFEST,
            ),
            (codec.data_replies,),
        ),
        (m.InfoRequest(id=8, path=PATH), (codec.data_requests,)),
        (m.Info(id=8, **dict(ARRAY)), (codec.data_replies,)),
        (m.InfosRequest(id=11, paths=(PATH, DatasetPath("bad.b2nd"))), (codec.data_requests,)),
        (
            m.Infos(
                id=11, done=2, infos=(ARRAY,),
                refused=(
                    m.Refused(path=DatasetPath("bad.b2nd"), name="not-found", detail="is gone"),
                ),
            ),
            (codec.data_replies,),
        ),
        (
            m.ChunksRequest(
                id=9, path=PATH, etag=ETAG, n=(0, 1, 7), deadline_ms=30_000,
                held=(b"", b"", bytes(range(16))),
            ),
            (codec.data_requests,),
        ),
        (
            m.Chunks(
                id=9, n=(0, 1), sizes=(32, 70), digests=(0, 0xFFFFFFFF), last=False,
                proofs=(b"", SIGNATURE + b"\x01"),
            ),
            (codec.data_replies,),
        ),
        (
            m.BlocksRequest(
                id=11, path=PATH, etag=ETAG, deadline_ms=30_000,
                blocks=(
                    m.ChunkBlocks(n=0, ids=(3, 17)),
                    m.ChunkBlocks(n=300, ids=(0,), held=bytes(range(16))),
                ),
            ),
            (codec.data_requests,),
        ),
        (
            m.Blocks(id=11, n=0, ids=(3, 17), sizes=(4, 900), digest=0x12345678, last=False),
            (codec.data_replies,),
        ),
        (
            m.BytesRequest(
                id=10, path=DatasetPath("README.md"), etag=ETAG, start=0, stop=2**40,
                deadline_ms=600_000,
            ),
            (codec.data_requests,),
        ),
        (m.Bytes(id=10, start=0, digest=0x12345678, last=True), (codec.data_replies,)),
        (m.Cancel(id=10), (codec.data_requests,)),
        (
            m.Error(
                id=9, code=412, name="stale-version", retry="now", after_ms=0,
                detail="dir1/ds-2d.b2nd has changed", info={"etag": "f" * 24},
            ),
            (codec.control_replies, codec.data_replies),
        ),
    )
}  # fmt: skip


def golden() -> dict[str, bytes]:
    """Name of a message's class to its header."""
    lines = (line.split() for line in GOLDEN.read_text().splitlines())
    return {
        fields[0]: bytes.fromhex(fields[1]) for fields in lines if fields[:1] not in ([], ["#"])
    }


def classes() -> Iterator[type[Any]]:
    """All classes that are messages."""
    for kind in vars(m).values():
        if isinstance(kind, type) and issubclass(kind, Model) and "type" in kind.model_fields:
            yield kind


def test_each_message_has_an_example_and_its_bytes() -> None:
    everything = set(classes())
    assert len(everything) == 33
    assert set(EXAMPLES) == everything == set(get_args(m.Message))
    assert set(golden()) == {kind.__name__ for kind in everything}


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_encode_gives_the_golden_bytes(kind: type[Any]) -> None:
    message, _ = EXAMPLES[kind]
    magic, header = codec.encode(message)
    assert magic == b"C2P\x01"
    assert bytes(header).hex() == golden()[kind.__name__].hex()


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_golden_bytes_give_back_the_message(kind: type[Any]) -> None:
    message, decoders = EXAMPLES[kind]
    for decode in decoders:
        got = decode([b"C2P\x01", golden()[kind.__name__]])
        assert type(got) is kind
        assert got == message


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_no_other_channel_takes_it(kind: type[Any]) -> None:
    message, right = EXAMPLES[kind]
    channels = (
        codec.control_requests, codec.control_replies, codec.data_requests, codec.data_replies,
        codec.roots_notes, codec.root_notes,
    )  # fmt: skip
    for decode in channels:
        if decode in right:
            continue
        with pytest.raises(codec.BadMessage):
            decode(codec.encode(message))


def test_ping_by_hand() -> None:
    """What the specification shows as its example."""
    header = b"\x82" + b"\xa4type" + b"\xa4ping" + b"\xa2id" + b"\x03"
    assert codec.encode(m.Ping(id=3)) == [b"C2P\x01", header]


def test_payload_frames_follow_the_header() -> None:
    frames = codec.encode(EXAMPLES[m.Bytes][0], (b"payload",))
    assert [bytes(frame) for frame in frames[2:]] == [b"payload"]


def test_optional_keys_may_be_left_out() -> None:
    header = {
        "type": "register", "root": "foo", "inst": "i", "fence": 0, "endpoints": ["tcp://h:1"]
    }  # fmt: skip
    got = codec.control_requests([codec.MAGIC, msgpack.packb(header)])
    assert isinstance(got, m.Register)
    assert (got.id, got.takeover, got.ttl_ms, got.curve_key) == (0, False, 10_000, "")


def test_topics() -> None:
    assert codec.ROOTS_TOPIC == b"roots\0"
    assert codec.root_topic(ROOT) == b"root/foo\0"
