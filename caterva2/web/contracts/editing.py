"""Contract of the web application with the special roots of a subscriber, as one user sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from caterva2.model import Check, Expression, Upload, any_version
from caterva2.names import Place


class Trashed(Protocol):
    """Something that was removed from a special root, at a time in seconds since 1970."""

    @property
    def ident(self) -> str: ...
    @property
    def root(self) -> str: ...
    @property
    def below(self) -> str: ...
    @property
    def removed(self) -> float: ...
    @property
    def size(self) -> int: ...


class Unfinished(Protocol):
    """An upload that goes on after an interruption, and may be complete by now."""

    @property
    def ident(self) -> str: ...
    @property
    def place(self) -> str:
        """``ROOT/PATH`` of what it becomes."""
        ...

    @property
    def size(self) -> int: ...
    @property
    def offset(self) -> int:
        """Bytes that have arrived."""
        ...

    @property
    def sending(self) -> bool:
        """Whether a request sends it now."""
        ...

    @property
    def complete(self) -> bool: ...
    @property
    def tag(self) -> str: ...
    @property
    def conditions(self) -> Mapping[str, str]:
        """Headers of the request that began it, which have to hold when it ends."""
        ...

    @property
    def touched(self) -> float:
        """When something arrived, in seconds since 1970."""
        ...


class Resuming(Protocol):
    """Uploads of a user that go on after an interruption; `NotFound` for an unknown one."""

    async def begin(
        self, place: Place, name: str, size: int, tag: str, *,
        unpack: bool, conditions: Mapping[str, str], check: Check,
    ) -> Unfinished:  # fmt: skip
        """Begin an upload, or find the one that was begun in this very way with this tag."""
        ...

    def get(self, ident: str) -> Unfinished: ...

    async def all(self) -> Sequence[Unfinished]:
        """Return those that are not complete, the last one first."""
        ...

    async def cancel(self, ident: str) -> None: ...

    async def send(
        self, ident: str, offset: int, pieces: AsyncIterator[bytes], check: Check
    ) -> Unfinished:
        """Add what arrives to an upload, and store the file when it is complete.

        `StaleVersion` if the upload goes on at another one, `Busy` while another request sends it.
        """
        ...


class Editor(Protocol):
    """Changes of the special roots.

    All of these raise `LoginNeeded` without a user; `BadUpload`, `BadName` or `Conflict` for what
    does not fit; `QuotaExceeded`, `CacheFull` or `TooLarge` for what is too large. A change is
    complete or has not happened. Only `append` has another effect when it is called again.

    A ``check`` is called with the present version of what is replaced, appended to, removed, moved
    or copied, before anything happens and, of special roots, while nothing else can change it. What
    it raises is raised.
    """

    def check_writing(self, doing: str) -> None:
        """Raise `LoginNeeded` without a user, before a request's body is read."""
        ...

    async def upload(self, place: Place, upload: Upload, check: Check = any_version) -> str:
        """Store a file in a special root; return its path."""
        ...

    async def unpack(self, place: Place, upload: Upload) -> str:
        """Store the files of an archive in a new directory; return its path."""
        ...

    @property
    def uploads(self) -> Resuming:
        """The uploads that go on after an interruption; `LoginNeeded` without a user."""
        ...

    async def append(self, place: Place, upload: Upload, check: Check = any_version) -> list[int]:
        """Append an array, uploaded as a frame, to a stored one; return the new shape."""
        ...

    async def remove(self, place: Place, check: Check = any_version) -> str:
        """Remove a file, a directory, or the content of a special root; return its path."""
        ...

    async def trash(self) -> Sequence[Trashed]:
        """Return what was removed and can be restored, the last one first."""
        ...

    async def restore(self, ident: str) -> str:
        """Restore something from the trash; return its path. `Conflict` if that is taken."""
        ...

    async def empty_trash(self, ident: str = "") -> int:
        """Remove one item of the trash, or all, for good; return their bytes."""
        ...

    async def move(self, source: Place, to: Place, check: Check = any_version) -> str:
        """Move a file or a directory; return the new path."""
        ...

    async def copy(self, source: Place, to: Place, check: Check = any_version) -> str:
        """Copy a file, a directory or a root into a special root; return the new path."""
        ...

    async def lazyexpr(self, place: Place, asked: Expression, *, compute: bool) -> str:
        """Store an expression, or with ``compute`` its result; return the path.

        `BadExpression` if it can't be parsed or does not fit its operands.
        """
        ...
