"""Ranges: parts of a stored file, any number of them in few requests, all of one version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from caterva2.client.errors import HttpError, Unreachable
from caterva2.client.transport import Answer, Transport
from caterva2.rest import paths
from caterva2.rest.paths import relative

Range = tuple[int, int]
"""Start and stop; both are known and not negative."""
AT_ONCE = 64
"""Ranges of one request; subscribers refuse more."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/[0-9]{1,19}", re.ASCII)
_BOUNDARY = re.compile(r'multipart/byteranges;\s*boundary="?([^";\s]{1,70})"?', re.IGNORECASE)


def read(transport: Transport, path: str, wanted: Sequence[Range], etag: str = "") -> list[bytes]:
    """Read ranges of a file; what lies behind its end is left out.

    Parameters
    ----------
    transport : Transport
    path : str
        With the root.
    wanted : sequence of (start, stop)
    etag : str
        The entity tag that the file must have; empty for any.

    Returns
    -------
    list of bytes
        In the order of ``wanted``.

    Raises
    ------
    HttpError
        With the status 412 if the file has another entity tag.
    """
    if transport.kept.active:
        from caterva2.integrations import kept_ranges  # loads numpy and Blosc2

        kept = kept_ranges.read(transport, path, wanted, etag)
        if kept is not None:
            return kept
    found: dict[Range, bytes] = dict.fromkeys(wanted, b"")
    pending = [(start, stop) for start, stop in dict.fromkeys(wanted) if stop > start]
    for first in range(0, len(pending), AT_ONCE):
        some = pending[first : first + AT_ONCE]
        answer = _ask(transport, path, some, etag)
        if answer is not None:
            etag = etag or answer.headers.get("etag", "")  # all of the version of the first
            found.update(_parts(answer, some))
    return [found[one] for one in wanted]


def _ask(
    transport: Transport, path: str, wanted: Sequence[Range], etag: str
) -> Answer | None:  # fmt: skip
    """Request some ranges; None if all of them lie behind the end."""
    text = ",".join(f"{start}-{stop - 1}" for start, stop in wanted)
    headers = {"Range": f"bytes={text}"} | ({"If-Match": etag} if etag else {})
    try:
        return transport.request("GET", relative(paths.DOWNLOAD, path), None, headers)
    except HttpError as error:
        if error.status_code == 416:
            return None
        raise


def _parts(answer: Answer, wanted: Sequence[Range]) -> Iterator[tuple[Range, bytes]]:
    """Return what was requested out of an answer with one part, several, or the whole file."""
    sent = dict(_sent(answer))
    for start, stop in wanted:
        for begin, content in sent.items():
            if begin <= start and (start < begin + len(content)):
                yield (start, stop), bytes(content[start - begin : stop - begin])
                break


def _sent(answer: Answer) -> Iterator[tuple[int, memoryview]]:
    """Return the parts of an answer with their places in the file."""
    body, kind = memoryview(answer.body), answer.headers.get("content-type", "")
    boundary = _BOUNDARY.match(kind)
    if boundary is not None:
        yield from _multipart(body, boundary[1].encode())
    elif "content-range" in answer.headers:
        start, length = _place(answer.headers["content-range"])
        if length != len(body):
            raise Unreachable(f"a range of {length} bytes arrived with {len(body)}")
        yield start, body
    else:
        yield 0, body


def _multipart(body: memoryview, boundary: bytes) -> Iterator[tuple[int, memoryview]]:
    raw, at = body.obj, 0
    assert isinstance(raw, bytes | bytearray)
    while True:
        begin = raw.find(b"--" + boundary, at)
        end = raw.find(b"\r\n\r\n", begin)
        if begin < 0 or raw[begin + 2 + len(boundary) :][:2] == b"--":
            return
        head = bytes(raw[begin : max(end, begin)]).decode("latin-1")
        lines = (line.partition(":") for line in head.split("\r\n")[1:])
        fields = {name.strip().lower(): value.strip() for name, _, value in lines}
        start, length = _place(fields.get("content-range", ""))
        at = end + 4 + length
        if at > len(raw):
            raise Unreachable("several ranges arrived cut off")
        yield start, body[end + 4 : at]


def _place(text: str) -> tuple[int, int]:
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None or int(match[2]) < int(match[1]):
        raise Unreachable(f"the subscriber answered with the range {text[:80]!r}")
    return int(match[1]), int(match[2]) - int(match[1]) + 1
