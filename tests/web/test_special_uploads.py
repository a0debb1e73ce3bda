"""Uploads to special roots, appending, and what is refused."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor

import blosc2
import numpy as np
import pytest

from tests.conftest import example_root
from tests.unit.samples import array_frame
from tests.web.asking import ask
from tests.web.places import Places, form
from tests.web.specialthings import FRAME, README, values


@pytest.mark.parametrize(
    ("target", "name", "where"),
    [
        ("@shared/up/x.b2nd", "other", "@shared/up/x.b2nd"),
        ("@shared/up/", "y.b2nd", "@shared/up/y.b2nd"),
        ("@shared/up", "z.b2nd", "@shared/up/z.b2nd"),
        ("@shared", "top.b2nd", "@shared/top.b2nd"),
        ("@shared/up/", "Y.B2ND", "@shared/up/Y.B2ND"),
        ("@shared/up/", "C:\\data\\w.b2nd", "@shared/up/w.b2nd"),
        ("@shared/up/", "../../v.b2nd", "@shared/up/v.b2nd"),
    ],
)
def test_where_an_upload_goes(places: Places, target: str, name: str, where: str) -> None:
    answer = places.send("ann", f"api/upload/{target}", FRAME, name.replace("\\", "\\\\"))
    assert (answer.status, answer.json) == (200, where)
    assert (values(places, "bob", where) == np.arange(12).reshape(6, 2)).all()


def test_an_upload_is_returned_byte_for_byte(places: Places) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    places.send("ann", "api/upload/@public/blob.bin", content)
    assert places.get("nobody", "api/download/@public/blob.bin").body == content
    packed = places.get("nobody", "api/fetch/@public/blob.bin").body
    assert blosc2.schunk_from_cframe(packed)[:] == content
    ranged = ask(places.stack, "api/download/@public/blob.bin", Range="bytes=5-9")
    assert (ranged.status, ranged.body) == (206, content[5:10])
    places.send("ann", "api/upload/@public/same.b2nd", FRAME)
    assert places.get("nobody", "api/fetch/@public/same.b2nd").body == FRAME


def test_an_empty_plain_file_is_a_file(places: Places) -> None:
    assert places.send("ann", "api/upload/@public/empty.txt", b"").status == 200
    assert places.get("nobody", "api/download/@public/empty.txt").body == b""
    assert places.get("nobody", "api/info/@public/empty.txt").json["nbytes"] == 0


@pytest.mark.parametrize(
    ("target", "content", "status"),
    [
        ("@public/empty.b2nd", b"", 400),
        ("@public/forged.b2nd", FRAME[:-1], 400),
        ("@public/forged.b2frame", README, 400),
        ("@public/%2e%2e/x", b"1", 400),
        ("@public/a//b", b"1", 400),
        ("@public/.hidden", b"1", 400),
        ("@public/a.b2nd/x", b"1", 400),
        ("@public/a%00b", b"1", 400),
        ("@public/" + "n" * 300, b"1", 400),
        ("@nothing/x", b"1", 404),
        ("foo/x", b"1", 400),
        ("@public/x?unpack=2", b"1", 400),
        ("@public/x?more=2", b"1", 400),
        ("@public/?unpack=1", b"no archive", 400),
    ],
)
def test_a_bad_upload_is_refused_and_leaves_nothing(
    places: Places, target: str, content: bytes, status: int
) -> None:
    before = places.names("ann", "@public")
    answer = places.send("ann", f"api/upload/{target}", content, "x.zip")
    assert (answer.status, "detail" in answer.json) == (status, True)
    assert places.names("ann", "@public") == before
    assert list((places.stack.directory / "sub/spaces/incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (*form(b"1", field_name="other"), 422),
        (b"", "multipart/form-data; boundary=XX", 422),
        (b"1", "application/octet-stream", 422),
        (b"1", "multipart/form-data", 422),
        (b"garbage", "multipart/form-data; boundary=XX", 400),
        (form(b"1")[0][:-10], "multipart/form-data; boundary=XX", 400),
        (form(b"1", field_name="x" * 20_000)[0], "multipart/form-data; boundary=XX", 400),
    ],
)
def test_a_body_without_a_file_is_refused(
    places: Places, body: bytes, kind: str, status: int
) -> None:
    cookie = places.cookie("ann")
    answer = ask(places.stack, "api/upload/@public/x", "POST", body, Content_Type=kind, **cookie)
    assert (answer.status, "detail" in answer.json) == (status, True)


def test_an_archive_becomes_a_directory(places: Places) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        archive.add(example_root(), arcname=".")
    answer = places.send("ann", "api/upload/@shared/?unpack=1", made.getvalue(), "all.tar.gz")
    assert (answer.status, answer.json) == (200, "@shared/all")
    assert places.names("bob", "@shared/all") == places.names("bob", "foo")
    again = places.send("ann", "api/upload/@shared/all?unpack=1", made.getvalue(), "all.tar.gz")
    assert again.json == "@shared/all/all"
    taken = places.send("ann", "api/upload/@shared/?unpack=1", made.getvalue(), "all.tar.gz")
    assert taken.status == 409


# --- append ---


def test_an_array_grows(places: Places) -> None:
    places.send("ann", "api/upload/@shared/grow.b2nd", FRAME)
    answer = places.send("bob", "api/append/@shared/grow.b2nd", FRAME)
    assert (answer.status, answer.json) == (200, [12, 2])
    expected = np.concatenate([np.arange(12).reshape(6, 2)] * 2)
    assert (values(places, "ann", "@shared/grow.b2nd") == expected).all()
    assert places.get("ann", "api/info/@shared/grow.b2nd").json["shape"] == [12, 2]


@pytest.mark.parametrize(
    ("path", "content", "detail"),
    [
        ("@shared/fit.b2nd", array_frame(np.zeros((2, 3), "i8")), "not compatible"),
        ("@shared/fit.b2nd", array_frame(np.zeros((2, 2), "i4")), "dtypes"),
        ("@shared/fit.b2nd", README, "fit.b2nd"),
        ("@shared/fit.b2nd", b"", "fit.b2nd"),
        ("@shared/none.b2nd", FRAME, "does not exist or is not a file"),
        ("@shared/fit", FRAME, "does not exist or is not a file"),
        ("@shared/README.md", FRAME, "must be a NDArray"),
        ("foo/ds-1d.b2nd", FRAME, "Only appending to"),
        ("@shared", FRAME, "is a root"),
    ],
)
def test_what_does_not_fit_is_not_appended(
    places: Places, path: str, content: bytes, detail: str
) -> None:
    places.send("ann", "api/upload/@shared/fit.b2nd", FRAME)
    places.send("ann", "api/upload/@shared/README.md", README)
    answer = places.send("ann", f"api/append/{path}", content)
    assert answer.status == 400
    assert detail in answer.json["detail"]
    assert places.get("ann", "api/fetch/@shared/fit.b2nd").body == FRAME


@pytest.mark.parametrize("count", [30, pytest.param(100, marks=pytest.mark.slow)])
def test_appends_and_uploads_to_one_dataset_serialise(places: Places, count: int) -> None:
    def one(n: int) -> int:
        rows = array_frame(np.full((3, 2), n))
        return places.send("ann" if n % 2 else "bob", "api/append/@shared/many.b2nd", rows).status

    def whole(n: int) -> int:
        rows = array_frame(np.full((500, 40), n))
        return places.send("ann", "api/upload/@shared/raced.b2nd", rows).status

    places.send("ann", "api/upload/@shared/many.b2nd", FRAME)
    with ThreadPoolExecutor(50) as threads:
        appended = threads.map(one, range(count))
        uploaded = threads.map(whole, range(count))
        assert set(appended) | set(uploaded) == {200}
    found = values(places, "ann", "@shared/many.b2nd")
    assert found.shape == (6 + 3 * count, 2)
    assert sorted(found[6::3, 0]) == list(range(count))
    assert (found[6::3] == found[8::3]).all()
    raced = values(places, "bob", "@shared/raced.b2nd")
    assert (raced == raced[0, 0]).all()


def test_one_of_two_concurrent_uploads_to_a_name_wins_as_a_whole(places: Places) -> None:
    content = {"ann": b"a" * 2_000_000, "bob": b"b" * 1_000_000}
    with ThreadPoolExecutor(2) as threads:
        for _ in range(5):
            done = threads.map(
                lambda who: places.send(who, "api/upload/@public/race", content[who]).status,
                content,
            )
            assert list(done) == [200, 200]
            assert places.get("nobody", "api/download/@public/race").body in content.values()
