"""The contract of a kind of early answers."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from caterva2.web.reader import Data
from caterva2.web.server.early import Asked


@dataclass(frozen=True, slots=True)
class Found:
    """A body, and its headers, each with its end of line."""

    headers: bytes
    body: bytes | memoryview


class Kind(Protocol):
    """Answers to one call.

    Attributes
    ----------
    call : str
        The call, for metrics.
    prefix : bytes
        What paths of requests begin with.
    status : int
        Of the answers, which `start` begin with.
    """

    call: ClassVar[str]
    prefix: ClassVar[bytes]
    status: ClassVar[int]
    start: ClassVar[bytes]

    def takes(self, asked: Asked) -> bool:
        """Return whether requests with these headers may be answered."""
        ...

    def find(self, data: Data, path: bytes, query: bytes, asked: Asked) -> Found | None:
        """Return an answer if it takes no I/O; None, or an error, leaves it to the general case."""
        ...


def name_of(path: bytes, prefix: bytes) -> str:
    """Return what a path names behind its prefix; `UnicodeError` if it is no text."""
    return urllib.parse.unquote(path[len(prefix) :].decode("ascii"), errors="strict")


def lines(headers: Mapping[str, str]) -> bytes:
    """Return headers as they are sent."""
    return b"".join([f"{k.lower()}: {v}\r\n".encode("latin-1") for k, v in headers.items()])
