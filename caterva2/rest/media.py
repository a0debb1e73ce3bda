"""Media types of requests and answers; that of streams is in `caterva2.rest.stream`."""

from __future__ import annotations

from typing import Final

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
TEXT: Final = "text/plain"
CSV: Final = "text/csv"
EVENTS: Final = "text/event-stream"
BYTE_RANGES: Final = "multipart/byteranges"
UPLOAD: Final = "multipart/form-data"
FORM: Final = "application/x-www-form-urlencoded"
MESSAGES: Final = "application/vnd.caterva2.messages"
"""Replies of the wire protocol, see `docs/upstream.md`."""
