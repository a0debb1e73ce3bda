"""Numbers and texts of others: nothing in them makes an answer fail, or controls a terminal."""

from __future__ import annotations

import asyncio
import json
import pickle
from email.message import Message
from types import SimpleNamespace

import blosc2
import numpy as np
import pytest
from starlette.requests import Request

from caterva2.client.errors import error_of, unreadable
from caterva2.errors import SourceCorrupt, from_wire, printable
from caterva2.frames import compose
from caterva2.model import CParams, DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.reading import slices
from caterva2.rest.errors import error_body
from caterva2.web import conditions, descriptions
from caterva2.web.answers import on_caterva_error


def described(cparams: CParams = CParams(), mtime: float = 0.0) -> DatasetInfo:  # noqa: B008
    return DatasetInfo(
        path=DatasetPath("a.b2nd"), etag="e", mtime=mtime, kind="array", shape=(10,), chunks=(10,),
        blocks=(10,), dtype="<i8", typesize=8, chunksize=80, blocksize=80, nbytes=80, cbytes=80,
        cparams=cparams,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (1e300, "9999-12-31T23:59:59Z"),
        (1e308, "9999-12-31T23:59:59Z"),
        (-1e300, "0001-01-01T00:00:00Z"),
        (253_402_300_799.9, "9999-12-31T23:59:59Z"),
        (0.0, "1970-01-01T00:00:00Z"),
    ],
)
def test_time_beyond_the_years_is_shown_as_their_end(seconds: float, shown: str) -> None:
    assert descriptions.timestamp(seconds) == shown
    path = DatasetPath("d/a.b2nd")
    group = descriptions.group("foo", "", [Entry(path, "array", "e", 1, seconds)], None, {})
    assert group["mtime"] == shown
    info = described(mtime=seconds)
    assert descriptions.version(info)["mtime"] == shown
    assert ("Last-Modified" in conditions.last_modified(info)) == (abs(seconds) < 1e12)


def test_text_of_a_foreign_error_controls_no_terminal() -> None:
    detail = "foo/a: \x1b[2J\x07 is \u202ebad\n<b>"
    error = from_wire("source-corrupt", detail, {"a\x1b": "\x1b[1m", "n": 1}, subject="foo/a")
    assert isinstance(error, SourceCorrupt)
    assert error.subject == "foo/a"
    assert error.detail == "foo/a: \ufffd[2J\ufffd is \ufffdbad \u2039b>"
    assert error.info == {"a\ufffd": "\ufffd[1m", "n": 1}
    assert printable("é ü 数 ok") == "é ü 数 ok"


def test_error_of_ours_that_repeats_a_name_controls_no_terminal() -> None:
    assert error_body(SourceCorrupt("a\x1bb is bad"))["detail"] == "a\ufffdb is bad"


def test_error_of_a_subscriber_controls_no_terminal_of_its_client() -> None:
    body = json.dumps({"detail": "\x1b[2J<b>\nx", "name": "not-found\x07"}).encode()
    for told in (body, b"\x1b[2J<b>\nx"):
        error = error_of(404, "Not\x1bFound", Message(), told)
        assert str(error) == "404 Not\ufffdFound: \ufffd[2J\u2039b> x"
        assert error.kind.isprintable()
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert unreadable(json.loads(body)).detail == "\ufffd[2J\u2039b> x"


def test_error_with_markup_is_never_a_page() -> None:
    told = SourceCorrupt("<script>alert(1)</script>\x1b")
    service = SimpleNamespace(answered=lambda error: None)
    readers = SimpleNamespace(for_user=lambda user: service)
    served = SimpleNamespace(state=SimpleNamespace(web=SimpleNamespace(readers=readers)))
    request = Request({"type": "http", "app": served, "state": {}})
    answer = asyncio.run(on_caterva_error(request, told))
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(bytes(answer.body))["detail"] == "\u2039script>alert(1)\u2039/script>\ufffd"
    for markup in ("<img src=x onerror=f()", "<!--", "<?php", "<f8 onclick=f()>", "<a8>", "<f8>"):
        assert not printable(markup).startswith("<")
    for plain in ("items of '<f8' and <i4", "a < b", "<f8,(2,2)", "['<U3', '<M8[ns]']", "1<2"):
        assert printable(plain) == plain


def test_a_name_with_markup_is_still_the_subject_of_its_error() -> None:
    error = from_wire("not-found", "foo/<b>.b2nd: is gone", subject="foo/<b>.b2nd")
    assert (error.subject, error.about("foo/<b>.b2nd").detail) == (
        "foo/<b>.b2nd", "foo/<b>.b2nd: is gone"
    )  # fmt: skip
    assert error_body(error)["detail"] == "foo/\u2039b>.b2nd: is gone"


@pytest.mark.parametrize("meta", [0, 127, 128, 200, 255])
@pytest.mark.parametrize("filter_", [0, 1, 2, 4])
@pytest.mark.parametrize("size", [10, 20_000])
def test_values_are_packed_whatever_the_parameters_of_filters(
    meta: int, filter_: int, size: int
) -> None:
    cparams = CParams(filters=(0, 0, 0, 0, 0, filter_), filters_meta=(0, 0, 0, 0, 0, meta))
    compose.blosc_cparams(cparams, 8)
    values = np.arange(size)
    packed = blosc2.ndarray_from_cframe(bytes(slices.pack(described(cparams), values)))
    assert packed.shape == values.shape
    if filter_ != 4:
        assert np.array_equal(packed[:], values)
