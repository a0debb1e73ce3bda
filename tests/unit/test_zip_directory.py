"""The directory of zip files: what zipfile reads, and what is refused since it is no one thing."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from caterva2.errors import SourceCorrupt, StartError
from caterva2.formats import zip_directory
from caterva2.formats.zip_directory import Member
from caterva2.sources.versions import FilePlace
from caterva2.stores.opening import open_zarr
from caterva2.stores.zipped import ZipStore

LOCATOR, WIDE, END = b"PK\x06\x07", b"PK\x06\x06", b"PK\x05\x06"
FILES = {"a": b"1" * 50, "d/\xe9": b"2", "d/\u6f22": b"", "d/": b"", "z" * 200: bytes(3000)}


def zipped(
    monkeypatch: pytest.MonkeyPatch, *, front: bytes = b"", comment: bytes = b"", wide: bool = False
) -> bytes:
    """A zip file; a wide one has records as if it had too many members."""
    made = io.BytesIO()
    made.write(front)
    with monkeypatch.context() as limits:
        if wide:
            limits.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
            limits.setattr(zipfile, "ZIP64_LIMIT", 60)
        with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            for name, data in FILES.items():
                kind = zipfile.ZIP_STORED if len(data) < 10 else None
                archive.writestr(name, data, kind)
            archive.comment = comment
    return made.getvalue()


def members(data: bytes) -> list[Member]:
    place = zip_directory.find(io.BytesIO(data))
    directory = data[place.start : place.start + place.nbytes]
    return list(zip_directory.members(directory, place))


def expected(data: bytes) -> list[Member]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [
            Member(
                each.filename, each.header_offset, each.file_size, each.compress_size,
                each.compress_type == zipfile.ZIP_STORED, each.CRC,
            )
            for each in archive.infolist()
        ]  # fmt: skip


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("front", [b"", b"#!/bin/sh\n"])
@pytest.mark.parametrize("comment", [b"", b"about it", bytes(65535)])
def test_members_are_those_that_zipfile_reads(
    monkeypatch: pytest.MonkeyPatch, front: bytes, comment: bytes, wide: bool
) -> None:
    data = zipped(monkeypatch, front=front, comment=comment, wide=wide)
    assert (WIDE in data) == wide
    assert members(data) == expected(data)
    if wide:
        assert members(full(data)) == expected(data)


def test_a_zip_of_nothing_has_no_members() -> None:
    made = io.BytesIO()
    zipfile.ZipFile(made, "w").close()
    assert members(made.getvalue()) == []


def edited(data: bytes, mark: bytes, at: int, form: str, value: int) -> bytes:
    """A zip with another field in its last record of a kind."""
    changed = bytearray(data)
    struct.pack_into(f"<{form}", changed, data.rindex(mark) + at, value)
    return bytes(changed)


def full(data: bytes) -> bytes:
    """A zip whose last record only says that all is in the one before."""
    end = data.rindex(END)
    return data[: end + 8] + b"\xff" * 12 + data[end + 20 :]


LIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a locator that leads elsewhere": (lambda z: edited(z, LOCATOR, 8, "Q", 0), "not where"),
    "a locator of another part": (lambda z: edited(z, LOCATOR, 4, "L", 1), "no record"),
    "no record in front of the locator": (lambda z: edited(z, WIDE, 0, "B", 0), "no record"),
    "a record that is longer": (lambda z: edited(z, WIDE, 4, "Q", 100), "disagree"),
    "records of two counts": (lambda z: edited(z, END, 10, "H", 2), "disagree"),
    "records of two sizes": (lambda z: edited(z, END, 12, "L", 2), "disagree"),
    "a directory that is too large": (lambda z: edited(z, WIDE, 40, "Q", 2**40), "not where"),
    "a directory that begins late": (lambda z: edited(z, WIDE, 48, "Q", 2**40), "not where"),
    "members in another part": (lambda z: edited(z, WIDE, 24, "Q", 1), "several parts"),
    "fewer members": (lambda z: edited(edited(z, WIDE, 32, "Q", 1), WIDE, 24, "Q", 1), "more than"),
    "more members": (lambda z: edited(edited(z, WIDE, 32, "Q", 9), WIDE, 24, "Q", 9), "not 9"),
    "a name that is too long": (lambda z: edited(z, b"PK\x01\x02", 28, "H", 2**16 - 1), "cut off"),
    "an extra field that is cut off": (
        lambda z: edited(z, b"PK\x01\x02", 30, "H", 6), "an extra field"
    ),
    "an extra field that is too short": (
        lambda z: edited(z, b"PK\x01\x02", 46 + 200 + 2, "H", 4), "too short"
    ),
    "a name that is not UTF-8": (
        lambda z: z.replace("d/\u6f22".encode(), b"d/\xff\xff\xff"), "not UTF-8"
    ),
    "no end": (lambda z: z[:-22], "not a zip file"),
    "an end that is cut off": (lambda z: z[:-1], "not a zip file"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_records_that_disagree_are_refused(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forge, reason = LIES[lie]
    with pytest.raises(SourceCorrupt, match=reason):
        members(forge(full(zipped(monkeypatch, wide=True))))


def test_names_end_at_a_null_as_those_of_zipfile_do(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped(monkeypatch).replace(b"zzz", b"z\0z")
    assert members(data) == expected(data)


def of_many_members(shown: int, reached: int) -> bytes:
    """A zip of 300,000 members, whose locator leads to a record of other contents."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *(0,) * 9, 1, *(0,) * 6) + b"a"
    size = 300_000 * len(entry)
    large = struct.Struct("<4sQ2H2L4Q")
    few = large.pack(b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entry), size - len(entry))
    many = large.pack(b"PK\6\6", 44, 45, 45, 0, 0, shown, shown, size + len(few), 0)
    return (
        entry * 300_000 + few + many
        + struct.pack("<4sLQL", b"PK\6\7", 0, size + reached * len(few), 1)
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *(0xFFFF,) * 2, *(2**32 - 1,) * 2, 0)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "reached", "reason"),
    [
        (300_000, 1, "300000 members"),
        (300_000, 0, "not where its end says"),
        (1, 1, "more than 1 members"),
    ],
    ids=["told", "hidden by the locator", "hidden by the count"],
)
def test_a_zip_of_too_many_members_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: int, reached: int, reason: str
) -> None:
    (tmp_path / "many.zip").write_bytes(of_many_members(shown, reached))
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *_: pytest.fail("it is read"))
    with pytest.raises(StartError, match=reason):
        open_zarr(tmp_path / "many.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_unpacks_without_a_bound_is_refused(method: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a", bytes(100))
    store = ZipStore(FilePlace(path))
    with pytest.raises(SourceCorrupt, match="packed by the method"):
        store.read("a", 1000)
    store.close()
