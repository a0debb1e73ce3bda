"""Changes of the special roots by one user."""

from __future__ import annotations

from caterva2.accounts.policy import ReadRights
from caterva2.accounts.scopes import scope_of
from caterva2.errors import LoginNeeded, NotAllowed
from caterva2.model import Check, Expression, Upload, User, any_version
from caterva2.names import PERSONAL, PUBLIC, SHARED, Place
from caterva2.special.trash import Trashed
from caterva2.special.uploads.resuming import Resuming
from caterva2.special.writer import Writer


class UserEditor:
    """The part of a user's view that changes special roots.

    Parameters
    ----------
    writer : Writer
    resuming : Resuming
    user : User or None
    accounts : bool
        Whether the subscriber has accounts.
    policy : ReadRights
    """

    def __init__(
        self, writer: Writer, resuming: Resuming, user: User | None, accounts: bool,
        policy: ReadRights,
    ) -> None:  # fmt: skip
        self._policy = policy
        self._writer = writer
        self._resuming = resuming
        self._accounts = accounts
        self.user = user

    def check_writing(self, doing: str) -> None:
        """Raise `LoginNeeded` if there is no user, `NotAllowed` if this one may only read."""
        if self.user is None:
            raise LoginNeeded(
                "Unauthorized" if self._accounts else f"{doing} requires authentication"
            )
        if not self._policy.may_write(self.user):
            raise NotAllowed("this user may not change special roots")
        self._check_scope()

    def _check_scope(self) -> None:
        if not scope_of(self.user).write:
            raise NotAllowed("this token is for reading only")

    def _check_all(self, doing: str) -> None:
        """Raise `NotAllowed` unless all special roots may be changed: what follows is of all."""
        self.check_writing(doing)
        if not all(map(scope_of(self.user).covers, (PERSONAL, PUBLIC, SHARED))):
            raise NotAllowed(f"{doing} takes a token for all special roots")

    def _may_write(self, doing: str) -> Writer:
        self.check_writing(doing)
        return self._writer

    async def upload(self, place: Place, upload: Upload, check: Check = any_version) -> str:
        """Store an uploaded file and return its path."""
        return await self._may_write("Uploading").upload(place, upload, check)

    async def unpack(self, place: Place, upload: Upload) -> str:
        """Store the files of an uploaded archive as a new directory, and return its path."""
        return await self._may_write("Uploading").unpack(place, upload)

    @property
    def uploads(self) -> Resuming:
        """The uploads of the user that go on after an interruption."""
        self.check_writing("Uploading")
        return self._resuming

    async def append(self, place: Place, upload: Upload, check: Check = any_version) -> list[int]:
        """Append an uploaded array to a stored one and return the new shape."""
        return await self._may_write("Appending").append(place, upload, check)

    async def remove(self, place: Place, check: Check = any_version) -> str:
        """Remove a file, a directory, or the content of a root, and return what was removed."""
        return await self._may_write("Removing").remove(place, check)

    async def trash(self) -> list[Trashed]:
        self._check_all("Looking into the trash")
        return await self._writer.trash()

    async def restore(self, ident: str) -> str:
        self._check_all("Restoring")
        return await self._writer.restore(ident)

    async def empty_trash(self, ident: str = "") -> int:
        self._check_all("Emptying the trash")
        return await self._writer.empty_trash(ident)

    async def move(self, source: Place, to: Place, check: Check = any_version) -> str:
        """Move a file or directory and return its new path."""
        return await self._may_write("Moving").move(source, to, check)

    async def copy(self, source: Place, to: Place, check: Check = any_version) -> str:
        """Copy a file, a directory or a root and return the copy's path."""
        return await self._may_write("Copying").copy(source, to, check)

    async def lazyexpr(self, place: Place, asked: Expression, *, compute: bool) -> str:
        """Store an expression, or its result, and return its path."""
        return await self._may_write("Computing").store_expression(place, asked, compute=compute)
