"""Trees of python-blosc2 that are not what they should be: a clear line, and the others go on"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import b2trees
import blosc2
import numpy as np
import pytest
from b2trees import VALUES, names, served
from sourcereads import values_of

from caterva2.errors import CatervaError
from caterva2.formats import zip_directory
from caterva2.formats.zip_directory import Member
from caterva2.stores import archive

BAD = "g/x.b2nd"
GOOD = "g/deep/y"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return b2trees.tree(tmp_path / "a.b2z")


def written(place: Path, change: Callable[[zipfile.ZipFile, str, bytes], None]) -> None:
    """Write a zip anew, each member by a function, the bad one at the end."""
    with zipfile.ZipFile(place) as old:
        names = sorted(old.namelist(), key=lambda name: (name == BAD, name))
        content = {name: old.read(name) for name in names}
    with zipfile.ZipFile(place, "w") as new:
        for name, data in content.items():
            change(new, name, data)


def edited(place: Path, name: str, **fields: int) -> None:
    """Change what the directory of a zip says of a member."""
    at = {"packed": 20, "size": 24, "offset": 42}
    data = bytearray(place.read_bytes())
    start = data.rindex(name.encode()) - 46
    assert data[start : start + 4] == b"PK\x01\x02"
    for field, value in fields.items():
        struct.pack_into("<L", data, start + at[field], value)
    place.write_bytes(data)


def check_others(place: Path) -> None:
    """Check that the bad leaf is left out, and that other leaves and the file are served."""
    source = served(place.parent)
    np.testing.assert_array_equal(values_of(source, f"{place.name}/{GOOD}"), VALUES[GOOD])
    assert f"{place.name}/{BAD}" not in names(source)
    assert b2trees.bytes_of(source, place.name) == place.read_bytes()


def offset_of(place: Path, name: str) -> int:
    with zipfile.ZipFile(place) as found:
        return found.getinfo(name).header_offset


LIES: dict[str, tuple[dict[str, int], str]] = {
    "a size beyond the file": ({"size": 2**31, "packed": 2**31}, "does not lie in front of"),
    "two sizes": ({"size": 10}, "claims 10 bytes where"),
    "an offset behind the file": ({"offset": 2**31}, "does not lie in front of"),
    "no bytes": ({"size": 0, "packed": 0}, "is left out"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_member_that_lies_is_left_out(
    lie: str, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields, reason = LIES[lie]
    edited(place, BAD, **fields)
    check_others(place)
    assert reason in caplog.text and BAD in caplog.text


def test_members_that_overlap_are_left_out(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(place, lambda new, name, data: new.writestr(name, data))
    edited(place, BAD, offset=offset_of(place, "zeros.b2nd"))
    check_others(place)
    for name in (BAD, "zeros.b2nd"):
        assert f"a.b2z/{name} is left out: it overlaps" in caplog.text


def test_a_member_that_begins_elsewhere_is_damaged_and_others_are_not(place: Path) -> None:
    start = offset_of(place, BAD)
    data = bytearray(place.read_bytes())
    data[start : start + 4] = b"KP\x03\x04"
    place.write_bytes(data)
    check_others(place)


def test_compressed_members_are_left_out(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    def change(new: zipfile.ZipFile, name: str, data: bytes) -> None:
        new.writestr(name, data, zipfile.ZIP_DEFLATED if name == BAD else zipfile.ZIP_STORED)

    written(place, change)
    check_others(place)
    assert caplog.text.count(f"a.b2z/{BAD} is left out: it is compressed or encrypted") == 1


@pytest.mark.parametrize("name", ["../out.b2nd", "/etc/x.b2nd", "g/../x.b2nd", "a\\b.b2nd"])
def test_names_that_leave_the_tree_are_left_out(
    name: str, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def change(new: zipfile.ZipFile, own: str, data: bytes) -> None:
        new.writestr(zipfile.ZipInfo(own), data)
        if own == BAD:
            new.writestr(zipfile.ZipInfo(name), data)

    known = names(served(place.parent))
    written(place, change)
    assert names(served(place.parent)) == known
    assert "is left out" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="cut off"),
        pytest.param(lambda _: b"not a frame" * 100, id="no frame"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda data: data[:16] + b"\xff" * 8 + data[24:], id="a length of 2^64"),
    ],
)
@pytest.mark.parametrize("suffix", ["b2z", "b2d"])
def test_a_leaf_that_is_no_frame_is_left_out(
    suffix: str, change: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = b2trees.tree(tmp_path / f"a.{suffix}")
    if suffix == "b2z":
        written(
            place, lambda new, name, data: new.writestr(name, change(data) if name == BAD else data)
        )
    else:
        (place / BAD).write_bytes(change((place / BAD).read_bytes()))
    source = served(tmp_path)
    np.testing.assert_array_equal(values_of(source, f"a.{suffix}/{GOOD}"), VALUES[GOOD])
    assert f"a.{suffix}/{BAD}" not in names(source)
    assert caplog.text.count(f"a.{suffix}/{BAD} is left out: ") == 1


@pytest.mark.no_cover
def test_a_zip_of_a_million_members_is_a_file_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, entry = tmp_path / "a.b2z", struct.Struct("<4s6H3L5H2L")
    name = b"embed.b2e"
    head = entry.pack(b"PK\x01\x02", *(0,) * 9, len(name), *(0,) * 6) + name
    count = archive.MEMBERS + 1
    end = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, count * len(head), 0
    )
    end += struct.pack("<4sLQL", b"PK\x06\x07", 0, count * len(head), 1)
    end += struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    place.write_bytes(head * count + end)
    assert names(served(tmp_path)) == {"a.b2z"}
    assert f"a.b2z is served as a file only: the zip has {count} members" in caplog.text


def embedded(path: Path, place: Any) -> None:
    """Write two embedded leaves, one of which is said to be at a place."""
    with blosc2.EmbedStore(str(path), mode="w") as store:
        store["/good"] = blosc2.asarray(VALUES[GOOD])
        store["/bad"] = blosc2.asarray(VALUES["g/x"])
        made = dict(store._embed_map)
    frame = blosc2.blosc2_ext.open(str(path), mode="a", offset=0)
    places = {"/good": made["/good"], "/bad": place}
    frame.vlmeta["estore_metadata"] = {"embed_map": places, "current_offset": 0}


@pytest.mark.parametrize(
    "place",
    [
        {"offset": 2**40, "length": 100},
        {"offset": 0, "length": 2**50},
        {"offset": 3, "length": 500},
        {"offset": 0, "length": 20},
    ],
    ids=str,
)
def test_an_embedded_leaf_that_is_not_where_it_should_be_is_left_out(
    place: dict[str, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedded(tmp_path / "a.b2e", place)
    source = served(tmp_path)
    assert names(source) == {"a.b2e", "a.b2e/good.b2nd"}
    np.testing.assert_array_equal(values_of(source, "a.b2e/good"), VALUES[GOOD])
    assert "a.b2e/bad is left out: it" in caplog.text


@pytest.mark.parametrize("place", [{"offset": -1, "length": 5}, {"offset": "x"}, 7], ids=str)
def test_a_list_of_leaves_that_makes_no_sense_leaves_the_file(
    place: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedded(tmp_path / "a.b2e", place)
    assert names(served(tmp_path)) == {"a.b2e"}
    assert "a.b2e is served as a file only: its list of leaves can't be read" in caplog.text


@pytest.mark.parametrize(
    "schema", ["no json", "[]", '{"columns": 7}', '{"columns": [{"name": ""}]}']
)
def test_a_table_whose_schema_makes_no_sense_still_has_its_columns(
    schema: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = b2trees.table(tmp_path / "t.b2d")
    manifest = blosc2.blosc2_ext.open(str(place / "_meta.b2f"), mode="a", offset=0)
    manifest.vlmeta["schema"] = schema
    source = served(tmp_path)
    assert "t.b2d/number.b2nd" in names(source)
    assert "can't be read" in caplog.text
    with pytest.raises(CatervaError, match="schema"):
        source.info(next(path for path in source.scan() if path.endswith(".group")))


@pytest.mark.parametrize("suffix", ["b2z", "b2d"])
def test_a_leaf_with_a_plugin_is_left_out(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cparams = {"codec": blosc2.Codec.ZFP_RATE, "codec_meta": 50, "filters": []}
    with blosc2.TreeStore(str(tmp_path / f"a.{suffix}"), mode="w") as store:
        store["/good"] = blosc2.asarray(VALUES[GOOD])
        store["/zfp"] = blosc2.asarray(np.ones((40, 40)), cparams=cparams)
    source = served(tmp_path)
    np.testing.assert_array_equal(values_of(source, f"a.{suffix}/good"), VALUES[GOOD])
    assert f"a.{suffix}/zfp.b2nd" not in names(source)
    assert caplog.text.count(f"a.{suffix}/zfp.b2nd is left out: ") == 1
    assert "ZFP" in caplog.text


def test_objects_that_happen_to_have_one_size_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objects = blosc2.ObjectArray()
    for text in ("abc", "def"):
        objects.append(text)
    with blosc2.TreeStore(str(tmp_path / "a.b2z"), mode="w") as store:
        store["/objects"] = objects
    assert names(served(tmp_path)) == {"a.b2z"}
    assert "a.b2z/objects.b2frame is left out: it has items of variable length" in caplog.text


# --- places of members ---


def member(name: str, offset: int, size: int = 10, **given: Any) -> Member:
    return Member(name, offset, size, given.get("packed", size), given.get("is_stored", True))


def test_rooms_end_where_the_next_member_begins() -> None:
    rooms, refused = zip_directory.rooms([member("b", 100), member("a", 0)], 200)
    assert {name: room.stop for name, room in rooms.items()} == {"a": 100, "b": 200}
    assert not refused


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_each_member_that_overlaps_another_is_refused(order: tuple[int, ...]) -> None:
    members = [member("long", 0, 500), member("in it", 100), member("alone", 600)]
    rooms, refused = zip_directory.rooms([members[n] for n in order], 1000)
    assert set(rooms) == {"alone"} and set(refused) == {"long", "in it"}


def test_a_name_that_is_there_twice_is_refused() -> None:
    rooms, refused = zip_directory.rooms([member("a", 0), member("a", 100)], 200)
    assert not rooms and refused == {"a": "is there more than once"}


def test_the_header_of_a_member_says_where_its_bytes_begin() -> None:
    room = zip_directory.Room(member("a", 50, 10), 100)
    header = struct.pack("<4s5H3L2H", b"PK\x03\x04", *(0,) * 8, 1, 5)
    assert zip_directory.data_start(header, room) == 50 + 30 + 6
    for wrong in (b"", b"PK\x01\x02" + header[4:], header[:-4] + b"\xff\xff\xff\xff"):
        assert zip_directory.data_start(wrong, room) is None


def test_a_sparse_frame_in_a_tree_is_left_out_as_a_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    b2trees.tree(tmp_path / "t.b2d", values={"g/x": np.arange(9)})
    b2trees.sparse(tmp_path / "t.b2d/g/c.b2nd", np.arange(3000).reshape(10, 300))
    assert b2trees.names(b2trees.served(tmp_path)) == {"t.b2d/g/x.b2nd", "t.b2d/bytes.b2frame"}
    assert "t.b2d/g/c.b2nd is left out: it is a sparse frame" in caplog.text
