"""Bodies of uploads: forms with a file in them."""

from __future__ import annotations

import contextlib

from caterva2.errors import BadUpload, TooLarge
from caterva2.limits import DEFAULTS
from caterva2.web.params.multipart import _Parts

BOUNDARY = b"boundary"
PIECE = 40


def one(data: bytes) -> None:
    parts = _Parts(BOUNDARY, DEFAULTS.web)
    with contextlib.suppress(BadUpload, TooLarge):
        for at in range(0, len(data), PIECE):
            parts.feed(data[at : at + PIECE])
            parts.taken()
