"""The contract of a kind of early answers."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.errors import CatervaError
from caterva2.model import DatasetInfo, User
from caterva2.names import DatasetPath, RootName
from caterva2.web.server.early import Asked


@dataclass(frozen=True, slots=True)
class Found:
    """A body, and its headers, each with its end of line."""

    headers: bytes
    body: bytes | memoryview


class Held(Protocol):
    """The part of a `caterva2.web.reader.Dataset` that takes no I/O."""

    @property
    def info(self) -> DatasetInfo: ...

    @property
    def offline(self) -> bool: ...

    def try_values(self, selection: Selection | Points, field: FieldPath = ()) -> Values | None: ...

    def try_block(self, n: int, block: int) -> bytearray | None: ...


class Data(Protocol):
    """The datasets that a user may read, as far as no I/O is needed to open them."""

    def try_dataset(self, root: RootName, path: DatasetPath) -> Held | None: ...

    def answered(self, error: CatervaError) -> None: ...


class Readers(Protocol):
    """Shows each user the datasets that the user may read."""

    def for_user(self, user: User | None) -> Data: ...


class Sessions(Protocol):
    """Knows the users of tokens that were looked up lately."""

    def known_user(self, token: str) -> User | None: ...


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
    lends : bool
        Whether workers answer such requests, too.
    """

    call: ClassVar[str]
    prefix: ClassVar[bytes]
    status: ClassVar[int]
    start: ClassVar[bytes]
    lends: ClassVar[bool]

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
