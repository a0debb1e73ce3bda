"""Byte ranges of stored frames and of plain files, as in RFC 9110."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from caterva2.limits import DEFAULTS
from caterva2.limits.constants import FILE_CHUNK
from caterva2.web import ranges
from tests.conftest import Stack
from tests.web.asking import Answer, ask

RANGES = DEFAULTS.web.ranges
STORED = "api/fetch/foo/dir1/ds-2d.b2nd"
PLAIN = "api/download/foo/README.md"
BOTH = pytest.mark.parametrize("target", [STORED, PLAIN])


def _parts(answer: Answer) -> list[tuple[str, str, bytes]]:
    """Return Content-Range, Content-Type and body of each part."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.body, policy=email.policy.HTTP)
    assert message.is_multipart() and not message.defects
    return [
        (part["content-range"], part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_parts()
    ]


@BOTH
@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("0-15", 0, 16), ("10-", 10, None), ("-7", -7, None), ("5-9999999999999999999999", 5, None),
     ("-99999999", 0, None), (" 3-3 , ", 3, 4), ("9999999-,0-4", 0, 5)],
)  # fmt: skip
def test_range_is_part_of_the_whole(
    shared_stack: Stack, target: str, wanted: str, start: int, stop: int | None
) -> None:
    whole = ask(shared_stack, target).body
    answer = ask(shared_stack, target, Range=f"bytes={wanted}")
    assert answer.status == 206
    assert answer.body == whole[start:stop]
    assert answer.headers["content-length"] == str(len(answer.body))
    first = start % len(whole)
    assert answer.headers["content-range"] == (
        f"bytes {first}-{first + len(answer.body) - 1}/{len(whole)}"
    )


@BOTH
def test_several_ranges_are_parts_of_one_answer(shared_stack: Stack, target: str) -> None:
    whole = ask(shared_stack, target)
    answer = ask(shared_stack, target, Range="bytes=0-3, 2-9,, -5, 99999999-")
    assert answer.status == 206
    assert "content-range" not in answer.headers
    assert answer.headers["content-length"] == str(len(answer.body))
    size = len(whole.body)
    kind = whole.headers["content-type"].partition(";")[0]
    assert _parts(answer) == [
        (f"bytes 0-3/{size}", kind, whole.body[:4]),
        (f"bytes 2-9/{size}", kind, whole.body[2:10]),
        (f"bytes {size - 5}-{size - 1}/{size}", kind, whole.body[-5:]),
    ]


@BOTH
@pytest.mark.parametrize("wanted", ["9999999-", "-0", "9999999-,8888888-9999999"])
def test_range_outside_of_the_content_is_416(shared_stack: Stack, target: str, wanted: str) -> None:
    size = len(ask(shared_stack, target).body)
    answer = ask(shared_stack, target, Range=f"bytes={wanted}")
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{size}"
    assert "outside" in answer.json["detail"]


@BOTH
@pytest.mark.parametrize(
    "wanted",
    ["bytes=5-2", "lines=1-2", "bytes=\xb2-", "bytes=-", "bytes=a-b", "bytes=", "bytes", "bytes=,",
     "bytes=0-1,x", "bytes=0-1,3-2", "bytes=+1-2", "bytes=1 -2", "bytes=0-,0-"],
)  # fmt: skip
def test_range_that_makes_no_sense_is_ignored(
    shared_stack: Stack, target: str, wanted: str
) -> None:
    assert ask(shared_stack, target, Range=wanted).status == 200


def test_number_of_ranges_has_a_limit(shared_stack: Stack) -> None:
    most = ",".join(f"{n}-{n}" for n in range(RANGES))
    assert len(_parts(ask(shared_stack, STORED, Range=f"bytes={most}"))) == RANGES
    answer = ask(shared_stack, STORED, Range=f"bytes={most},0-0")
    assert (answer.status, "RANGES, 64" in answer.json["detail"]) == (416, True)


@BOTH
def test_range_of_another_version_gets_the_whole(shared_stack: Stack, target: str) -> None:
    etag = ask(shared_stack, target).headers["etag"]

    def status(condition: str) -> int:
        return ask(shared_stack, target, Range="bytes=0-9", If_Range=condition).status

    assert status(etag) == 206
    assert status('"other"') == 200
    assert status(f"W/{etag}") == 200
    assert status("Sun, 06 Nov 1994 08:49:37 GMT") == 200


@BOTH
def test_known_version_is_not_sent_again_whatever_the_range(
    shared_stack: Stack, target: str
) -> None:
    etag = ask(shared_stack, target).headers["etag"]
    for known in (etag, f'"other", {etag}', "*"):
        answer = ask(shared_stack, target, Range="bytes=99999999-", If_None_Match=known)
        assert (answer.status, answer.body) == (304, b"")


@BOTH
def test_head_describes_the_whole_for_any_range(shared_stack: Stack, target: str) -> None:
    whole = ask(shared_stack, target)
    for wanted in ("bytes=0-3", "bytes=0-1,4-5", "bytes=99999999-"):
        head = ask(shared_stack, target, "HEAD", Range=wanted)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.body))
        assert head.headers["accept-ranges"] == "bytes"


def test_post_has_no_ranges(shared_stack: Stack) -> None:
    whole = ask(shared_stack, STORED)
    assert ask(shared_stack, STORED, "POST", b"{}", Range="bytes=0-3").body == whole.body


def test_range_of_a_plain_file_fetches_only_what_holds_it(stack: Stack, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    data = bytes(range(256)) * 4096 * 10 + b"the end"
    (root / "large.bin").write_bytes(data)
    (root / "empty.bin").write_bytes(b"")
    stack.start(foo=root)
    target, edge = "api/download/foo/large.bin", FILE_CHUNK
    answer = ask(stack, target, Range=f"bytes={edge - 3}-{edge + 2},-7")
    assert [body for *_, body in _parts(answer)] == [data[edge - 3 : edge + 3], b"the end"]
    assert ask(stack, "api/info/foo/large.bin").json["cached"]["nchunks"] == 3
    assert ask(stack, target).body == data
    assert ask(stack, "api/download/foo/empty.bin").body == b""
    assert ask(stack, "api/download/foo/empty.bin", Range="bytes=0-").status == 416


@given(st.text("bytes=0123456789-, ", max_size=40), st.integers(0, 50))
def test_any_header_gives_spans_within_the_content(header: str, size: int) -> None:
    try:
        spans = ranges.parse(header, size, RANGES)
    except HTTPException as error:
        assert error.status_code == 416
        return
    assert spans is None or (spans and all(0 <= a < b <= size for a, b in spans))
