"""Archives: extraction, and reasons to refuse one as a whole."""

from __future__ import annotations

import dataclasses
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caterva2.errors import BadUpload, QuotaExceeded
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.special.incoming import Incoming
from caterva2.special.quota import SpecialQuota
from caterva2.special.uploads import archives
from tests.unit.samples import array_frame

FRAME = array_frame(np.arange(10))
Files = dict[str, bytes]


def zipped(content: Files) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return made.getvalue()


def tarred(content: Files, **fields: object) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


def unpacked(
    tmp_path: Path,
    kind: archives.Archive,
    archive: bytes,
    quota: int = 0,
    limits: SpecialLimits = DEFAULTS.special,
) -> Files:
    quota_of_all = SpecialQuota(quota)
    incoming = Incoming(tmp_path / "incoming", quota_of_all)
    file = tmp_path / "archive"
    file.write_bytes(archive)
    try:
        with incoming.tree() as made:
            archives.unpack(kind, file, made, limits)
            found = made.path.rglob("*")
            return {
                str(path.relative_to(made.path)): path.read_bytes()
                for path in found
                if path.is_file()
            }
    finally:
        assert list((tmp_path / "incoming").iterdir()) == []
        assert quota_of_all.used == 0


KINDS: list[tuple[archives.Archive, Callable[[Files], bytes]]] = [
    ("zip", zipped), ("tar.gz", tarred)
]  # fmt: skip
both = pytest.mark.parametrize(("kind", "made"), KINDS)


@both
def test_all_files_are_unpacked(
    tmp_path: Path, kind: archives.Archive, made: Callable[[Files], bytes]
) -> None:
    content = {"a.b2nd": FRAME, "d/e/x.txt": b"text", "empty": b"", "512": bytes(512)}
    content |= {f"n/{n}": bytes([n]) * (n * 37) for n in range(60)}
    assert unpacked(tmp_path, kind, made(content)) == content


@both
@pytest.mark.parametrize(
    "name",
    ["../x", "d/../../x", "/etc/x", "d//x", ".hidden", "d/.x", "a.b2nd/x", "x\\y", "bad.b2nd",
     "d/bad.b2frame", "a\nb", "x" * 300],
)  # fmt: skip
def test_a_bad_name_or_frame_refuses_the_whole(
    tmp_path: Path, kind: archives.Archive, made: Callable[[Files], bytes], name: str
) -> None:
    with pytest.raises((BadUpload, OSError)):
        unpacked(tmp_path, kind, made({"good": b"good", name: b"content"}))


@both
def test_an_archive_of_nothing_is_refused(
    tmp_path: Path, kind: archives.Archive, made: Callable[[Files], bytes]
) -> None:
    with pytest.raises(BadUpload):
        unpacked(tmp_path, kind, made({}))


@both
def test_a_file_in_the_way_of_a_directory_is_refused(
    tmp_path: Path, kind: archives.Archive, made: Callable[[Files], bytes]
) -> None:
    for content in ({"a": b"1", "a/b": b"2"}, {"a/b": b"1", "a": b"2"}):
        with pytest.raises(BadUpload, match="is a file and a directory") as refused:
            unpacked(tmp_path, kind, made(content))
        assert str(tmp_path) not in str(refused.value)


@both
def test_the_quota_counts_extracted_bytes(
    tmp_path: Path, kind: archives.Archive, made: Callable[[Files], bytes]
) -> None:
    with pytest.raises(QuotaExceeded):
        unpacked(tmp_path, kind, made({"a": bytes(10_000)}), quota=5_000)


@both
def test_a_bomb_is_refused_before_it_goes_off(
    tmp_path: Path, kind: archives.Archive, made: Callable[[Files], bytes]
) -> None:
    limits = dataclasses.replace(DEFAULTS.special, archive_least=1_000_000, archive_ratio=10)
    with pytest.raises(BadUpload, match="larger than it looks"):
        unpacked(tmp_path, kind, made({"a": bytes(20_000_000)}), limits=limits)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_unpacks_without_a_bound_is_refused(tmp_path: Path, method: int) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("a", b"content")
    with pytest.raises(BadUpload, match="packed by the method"):
        unpacked(tmp_path, "zip", made.getvalue())


@both
def test_too_many_files_are_refused(
    tmp_path: Path, kind: archives.Archive, made: Callable[[Files], bytes]
) -> None:
    limits = dataclasses.replace(DEFAULTS.special, archive_files=10)
    with pytest.raises(BadUpload, match="ARCHIVE_FILES, 10"):
        unpacked(tmp_path, kind, made({str(n): b"" for n in range(11)}), limits=limits)


@both
@pytest.mark.parametrize("end", [0, 10, 60, -30])
def test_a_damaged_archive_is_refused(
    tmp_path: Path, kind: archives.Archive, made: Callable[[Files], bytes], end: int
) -> None:
    with pytest.raises(BadUpload):
        unpacked(tmp_path, kind, made({"a": np.random.default_rng(0).bytes(5000)})[:end])


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    made = bytearray(zipped({"a": b"1"}))
    for header, at in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        start = made.index(header)
        made[start + at : start + at + 4] = b"\0\0\1\0"  # its letter is in the extra field
    with pytest.raises(BadUpload):
        unpacked(tmp_path, "zip", bytes(made))


def test_a_duplicate_name_is_refused(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with pytest.raises(BadUpload, match="twice"):
        unpacked(tmp_path, "zip", made.getvalue())


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_a_member_of_a_tar_that_is_not_a_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    archive = tarred({"link": b""}, type=kind, linkname="/etc/passwd")
    with pytest.raises(BadUpload, match="not a plain file"):
        unpacked(tmp_path, "tar.gz", archive)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(BadUpload, match="not a plain file"):
        unpacked(tmp_path, "zip", made.getvalue())


def test_a_header_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 2**33
    archive = gzip.compress(member.tobuf() + bytes(1024))
    with pytest.raises(BadUpload, match="header"):
        unpacked(tmp_path, "tar.gz", archive)


def test_a_zip_whose_directory_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    archive = bytearray(zipped({"a": b"1"}))
    archive[-10:-6] = (2**31).to_bytes(4, "little")
    with pytest.raises(BadUpload):
        unpacked(tmp_path, "zip", bytes(archive))


def test_a_member_of_a_zip_that_is_not_as_long_as_claimed_is_refused(tmp_path: Path) -> None:
    archive = zipped({"a": b"1" * 100})
    size = (100).to_bytes(4, "little")
    at = archive.rindex(b"PK\x01\x02") + 24
    assert archive[at : at + 4] == size
    forged = archive[:at] + (2**32 - 2).to_bytes(4, "little") + archive[at + 4 :]
    with pytest.raises(BadUpload, match="has 100 bytes, and 4294967294 in its directory"):
        unpacked(tmp_path, "zip", forged)


def test_the_ending_says_what_an_archive_is() -> None:
    assert archives.kind_of("x.y.zip") == ("zip", "x.y")
    assert archives.kind_of("x.TAR.GZ") == ("tar.gz", "x")
    assert archives.kind_of("x.tgz") == ("tar.gz", "x")
    for name in (".zip", "x.7z", "x", ""):
        with pytest.raises(BadUpload):
            archives.kind_of(name)
