"""Files of special roots: atomic changes of names, the quota, uploaded frames, appending."""

from __future__ import annotations

import os
from pathlib import Path

import blosc2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays import selection
from caterva2.errors import BadName, BadUpload, Conflict, NotFound, QuotaExceeded, StaleVersion
from caterva2.names import DatasetPath, Place, RootName
from caterva2.reading import slices
from caterva2.sources.kinds import RECIPE_MAGIC
from caterva2.special import appender, files
from caterva2.special.directory import SpecialDirectory as Directory
from caterva2.special.files import LooseFrame
from caterva2.special.incoming import Incoming
from caterva2.special.quota import SpecialQuota
from caterva2.special.stored import StoredDataset, StoredExpression
from tests.thoroughness import examples
from tests.unit.samples import array_frame, byte_frame

ARRAY = DatasetPath("a.b2nd")


@pytest.fixture
def incoming(tmp_path: Path) -> Incoming:
    return Incoming(tmp_path / "incoming", SpecialQuota(0))


@pytest.fixture
def space(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "space")


def put(space: Directory, incoming: Incoming, path: str, content: bytes) -> None:
    with incoming.file() as made:
        with made.open() as sink:
            sink.write(content)
        space.put(made.path, DatasetPath(path))


# --- names ---


def test_a_place_is_a_root_or_a_path_in_it() -> None:
    assert Place.parse("@public") == Place(RootName("@public"), "", False)
    assert Place.parse("@public/") == Place(RootName("@public"), "", True)
    assert Place.parse("@public/a/b/") == Place(RootName("@public"), "a/b", True)
    assert str(Place.parse("@public/a")) == "@public/a"
    for wrong in ("@public/../x", "@public//x", "@public/a\0", "", "../x"):
        with pytest.raises(BadName):
            Place.parse(wrong)


@pytest.mark.parametrize("name", [".hidden", "a/.b/c", "a.b2nd/c", "a/b.b2frame/c", "a.B2ND/c"])
def test_a_name_that_would_not_be_listed_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        files.check_name(DatasetPath(name))


# --- names that change ---


def test_a_file_takes_its_place_and_replaces_another(space: Directory, incoming: Incoming) -> None:
    put(space, incoming, "d/e/x", b"one")
    put(space, incoming, "d/e/x", b"three")
    assert [(path, entry.size) for path, entry in space.source.scan("").items()] == [("d/e/x", 5)]


def test_a_file_takes_no_directorys_place(space: Directory, incoming: Incoming) -> None:
    put(space, incoming, "d/x", b"one")
    with pytest.raises(Conflict):
        put(space, incoming, "d", b"two")
    with pytest.raises(Conflict):
        put(space, incoming, "d/x/y", b"two")
    assert list(space.source.scan("")) == ["d/x"]


def test_what_is_taken_out_leaves_no_empty_directory(space: Directory, incoming: Incoming) -> None:
    put(space, incoming, "d/e/x", b"one")
    with incoming.tree() as gone:
        space.take("d/e/x", gone.path)
    assert space.thing("d") == "nothing"
    with pytest.raises(NotFound), incoming.tree() as gone:
        space.take("d/e/x", gone.path)


def test_all_of_a_space_can_be_taken_out(space: Directory, incoming: Incoming) -> None:
    put(space, incoming, "d/x", b"one")
    with incoming.tree() as gone:
        space.take("", gone.path)
    assert space.source.scan("") == {}
    put(space, incoming, "x", b"one")


def test_a_directory_moves_to_another_space(
    space: Directory, incoming: Incoming, tmp_path: Path
) -> None:
    other = Directory(tmp_path / "other")
    put(space, incoming, "d/e/x", b"one")
    space.rename("d/e", other, DatasetPath("new/e"))
    assert (list(space.source.scan("")), list(other.source.scan(""))) == ([], ["new/e/x"])


def test_no_link_is_followed_on_the_way_to_a_name(
    space: Directory, incoming: Incoming, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (space.path / "out").symlink_to(outside)
    with pytest.raises(Conflict):
        put(space, incoming, "out/x", b"one")
    with pytest.raises(NotFound), incoming.tree() as gone:
        space.take("out/x", gone.path)
    assert list(outside.iterdir()) == []


# --- room ---


def test_the_quota_counts_stored_and_incoming_bytes(tmp_path: Path) -> None:
    quota = SpecialQuota(100)
    incoming = Incoming(tmp_path, quota)
    quota.add_stored(60)
    with incoming.file() as made, made.open() as sink:
        sink.write(bytes(40))
        with pytest.raises(QuotaExceeded):
            sink.write(b"x")
    assert quota.used == 60
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_at_the_start(tmp_path: Path) -> None:
    first = Incoming(tmp_path / "incoming", SpecialQuota(0))
    first.file().open().write(b"half")
    first.tree().open("d/x").write(b"half")
    assert len(list((tmp_path / "incoming").iterdir())) == 2
    Incoming(tmp_path / "incoming", SpecialQuota(0))
    assert list((tmp_path / "incoming").iterdir()) == []


# --- reading ---


def test_a_dataset_of_a_space_is_read_as_it_is(space: Directory, incoming: Incoming) -> None:
    values = np.arange(600).reshape(20, 30)
    put(space, incoming, ARRAY, array_frame(values, chunks=(7, 8), blocks=(3, 4)))
    held = space.open(ARRAY)
    part = selection.normalise((slice(2, 15), 7), (20, 30))
    assert (slices.values(held, part) == values[2:15, 7]).all()


def test_a_replaced_dataset_is_never_read_as_the_old_version(
    space: Directory, incoming: Incoming
) -> None:
    put(space, incoming, ARRAY, array_frame(np.zeros((20, 30))))
    held = space.open(ARRAY)
    whole = selection.whole((20, 30))
    assert held.sealed is not None
    assert (slices.values(held, whole) == 0).all()
    put(space, incoming, ARRAY, array_frame(np.ones((20, 30))))
    with pytest.raises(StaleVersion):
        slices.values(held, whole)
    with pytest.raises(StaleVersion):
        held.whole(incoming)
    assert (slices.values(space.open(ARRAY), whole) == 1).all()


def test_an_expression_that_an_array_replaces_is_never_a_broken_frame(
    space: Directory, incoming: Incoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(space, incoming, ARRAY, RECIPE_MAGIC + b"{}")
    look = Directory._expression

    def late(self: Directory, path: DatasetPath) -> StoredExpression | None:
        put(space, incoming, ARRAY, array_frame(np.ones(3)))
        return look(self, path)

    monkeypatch.setattr(Directory, "_expression", late)
    found = space.open(ARRAY)
    assert isinstance(found, StoredDataset)
    assert found.info.shape == (3,)


def test_a_frame_with_something_foreign_around_its_chunks_is_not_opened(
    space: Directory, incoming: Incoming
) -> None:
    put(space, incoming, ARRAY, array_frame(np.arange(20))[:-1] + b"\x01")  # its fingerprint
    held = space.open(ARRAY)
    assert held.sealed is None
    assert (slices.values(held, selection.whole((20,))) == np.arange(20)).all()


def test_a_plain_file_is_read_as_bytes_and_as_a_frame(space: Directory, incoming: Incoming) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    put(space, incoming, "x.bin", content)
    held = space.open(DatasetPath("x.bin"))
    for key in (slice(5, 2_500_000, 7), slice(2_500_000, 5, -1001), 17, slice(5, 5)):
        part = selection.normalise(key, (len(content),))
        expected = np.frombuffer(content, np.uint8)[key]
        assert (held.file_values(part) == expected).all()
    frame = held.whole(incoming)
    assert blosc2.schunk_from_cframe(frame.pread(frame.size, 0))[:] == content


# --- frames that come in ---


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "came"
    path.write_bytes(content)
    return path


def test_a_frame_is_what_its_name_says(tmp_path: Path) -> None:
    files.check(written(tmp_path, array_frame(np.arange(10))), ARRAY)
    files.check(written(tmp_path, byte_frame(b"abc" * 100, 50)), DatasetPath("a.b2frame"))
    files.check(written(tmp_path, b"anything"), DatasetPath("a.txt"))
    files.check(written(tmp_path, b""), DatasetPath("a.txt"))
    for name in ("a.B2ND", "a.B2Frame"):
        with pytest.raises(BadUpload):
            files.check(written(tmp_path, b"anything"), DatasetPath(name))


GOOD = array_frame(np.arange(1000), chunks=(100,), blocks=(10,))


def forged(at: int, value: bytes) -> bytes:
    made = bytearray(GOOD)
    made[at : at + len(value)] = value
    return bytes(made)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"no frame", GOOD[:-1], GOOD[:50], GOOD + b"more", byte_frame(b"abc" * 100, 50),
        forged(16, (2**40).to_bytes(8)), forged(30, (2**50).to_bytes(8)),
        forged(GOOD.index(b"b2nd") + 10, b"\xff\xff"),
    ],
)  # fmt: skip
def test_a_forged_frame_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadUpload, match=r"a\.b2nd"):
        files.check(written(tmp_path, content), ARRAY)


@pytest.mark.parametrize("at", [4, 40])
def test_a_frame_with_a_forged_chunk_is_refused(tmp_path: Path, at: int) -> None:
    frame = LooseFrame(written(tmp_path, GOOD), ARRAY, "array")
    start = frame._reader.header.length
    with pytest.raises(BadUpload):
        files.check(written(tmp_path, forged(start + at, b"\xff\xff\xff\x7f")), ARRAY)


def test_a_frame_of_chunks_too_large_to_read_is_refused(tmp_path: Path) -> None:
    small = blosc2.zeros(2**30, dtype="u1", chunks=(2**30,), contiguous=True).to_cframe()
    assert len(small) < 10_000
    with pytest.raises(BadUpload, match="UPLOAD_CHUNK"):
        files.check(written(tmp_path, bytes(small)), ARRAY)


# --- appending ---


def grown(tmp_path: Path, old: bytes, new: bytes) -> LooseFrame:
    readable = []
    for name, content in (("old", old), ("new", new)):
        (tmp_path / name).write_bytes(content)
        readable.append(LooseFrame(tmp_path / name, ARRAY, "array"))
    incoming = Incoming(tmp_path / "incoming", SpecialQuota(0))
    with incoming.file() as made:
        appender.append(*readable, made)
        os.replace(made.path, tmp_path / "grown")
    frame = LooseFrame(tmp_path / "grown", ARRAY, "array")
    frame.check()
    return frame


@settings(max_examples=examples(40))
@given(
    old=st.integers(0, 20), new=st.integers(0, 20), width=st.integers(1, 9),
    chunk=st.tuples(st.integers(1, 7), st.integers(1, 5)),
    dtype=st.sampled_from(["<i4", "<f8", "S300", "<U5"]), vlmeta=st.booleans(),
)  # fmt: skip
def test_an_array_grows_as_numpys_concatenate(
    tmp_path_factory: pytest.TempPathFactory,
    old: int, new: int, width: int, chunk: tuple[int, int], dtype: str, vlmeta: bool,
) -> None:  # fmt: skip
    first = np.arange(old * width).reshape(old, width).astype(dtype)
    second = np.arange(7, 7 + new * width).reshape(new, width).astype(dtype)
    metadata = {"a": 1} if vlmeta else {}
    grid = {"chunks": chunk, "blocks": (max(1, chunk[0] - 1), chunk[1])} if old else {}
    frame = grown(
        tmp_path_factory.mktemp("grown"), array_frame(first, metadata, **grid), array_frame(second)
    )
    values = slices.values(frame, selection.whole(frame.info.shape))
    assert (values == np.concatenate([first, second])).all()
    assert set(frame.info.vlmeta) == set(metadata)


@pytest.mark.parametrize(
    "new",
    [np.zeros((3, 5)), np.zeros(4), np.float64(1), np.zeros((3, 4), "f4"), np.zeros((3, 4, 1))],
)
def test_what_does_not_fit_is_not_appended(tmp_path: Path, new: np.ndarray) -> None:
    with pytest.raises(BadUpload, match=r"shapes|dtypes"):
        grown(tmp_path, array_frame(np.zeros((10, 4))), array_frame(new))


def test_chunks_that_stay_are_copied_as_they_are(tmp_path: Path) -> None:
    old = array_frame(np.random.default_rng(0).random((25, 8)), chunks=(10, 8), blocks=(5, 8))
    frame = grown(tmp_path, old, array_frame(np.ones((5, 8))))
    (tmp_path / "old").write_bytes(old)
    before = LooseFrame(tmp_path / "old", ARRAY, "array")
    assert frame.read(np.arange(2)) == before.read(np.arange(2))
    assert frame.read(np.arange(2, 3)) != before.read(np.arange(2, 3))


def test_what_took_its_place_is_counted_once(space: Directory, tmp_path: Path) -> None:
    quota = SpecialQuota(100)
    incoming = Incoming(tmp_path / "incoming", quota)
    with incoming.file() as made:
        with made.open() as sink:
            sink.write(bytes(60))
        space.put(made.path, DatasetPath("x"))
        quota.add_stored(60)
        made.committed()
        assert quota.used == 60
    assert quota.used == 60
    assert list(space.source.scan("")) == ["x"]


def test_a_space_that_is_gone_is_metadata_of(space: Directory, incoming: Incoming) -> None:
    space.path.rmdir()
    with pytest.raises(NotFound):
        put(space, incoming, "x", b"1")
