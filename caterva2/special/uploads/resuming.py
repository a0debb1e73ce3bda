"""Uploads of one user that go on after an interruption."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Mapping

from caterva2.errors import BadUpload, Busy, CacheFull, QuotaExceeded, SlowDown, StaleVersion
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.model import Check, Upload
from caterva2.names import DatasetPath, Place, RootName
from caterva2.runtime.uncancellable import in_thread, run_to_completion
from caterva2.special import commit, files
from caterva2.special.directory import os_errors
from caterva2.special.incoming import Incoming
from caterva2.special.staging import staged
from caterva2.special.targets import Targets
from caterva2.special.uploads import archives
from caterva2.special.uploads.reception import base_name, receive
from caterva2.special.uploads.unfinished import Plan, Unfinished, UnfinishedUploads, missing

_PASSING = (QuotaExceeded, CacheFull, Busy, SlowDown)
"""Errors after which an upload may still be completed."""


class Resuming:
    """Begins, continues and completes the uploads of a user.

    Parameters
    ----------
    uploads : UnfinishedUploads
    incoming : Incoming
        Where archives are unpacked.
    targets : Targets
    owner : str
        Ident of the user.
    sees : callable
        Whether a root exists for this user, or for the token of this request.
    limits : SpecialLimits
    """

    def __init__(
        self,
        uploads: UnfinishedUploads,
        incoming: Incoming,
        targets: Targets,
        owner: str,
        sees: Callable[[RootName], bool],
        limits: SpecialLimits = DEFAULTS.special,
    ) -> None:
        self._sees = sees
        self._uploads = uploads
        self._incoming = incoming
        self._targets = targets
        self._owner = owner
        self._limits = limits

    async def begin(
        self, place: Place, name: str, size: int, tag: str, *,
        unpack: bool, conditions: Mapping[str, str], check: Check,
    ) -> Unfinished:  # fmt: skip
        """Begin an upload, or find the one that was begun in this very way.

        Raises
        ------
        BadUpload, BadName, QuotaExceeded, SlowDown
        """
        root = await self._targets.root(place, "uploading to")
        archive, name = None, base_name(name)
        if unpack:
            archive, name = archives.kind_of(name)
        path = await self._targets.path(root, place, name)
        check(None if archive else root.entries.get(path))
        plan = Plan(root.name, path, size, tag, archive, dict(conditions))
        room = functools.partial(root.check_room, replaced=path)
        with os_errors(path):
            return await in_thread(lambda: self._uploads.begin(self._owner, plan, room))

    def get(self, ident: str) -> Unfinished:
        """Return an upload; `NotFound` if the user has no such one."""
        found = self._uploads.get(ident, self._owner)
        if not self._may_see(found):
            raise missing(ident)
        return found

    def _may_see(self, upload: Unfinished) -> bool:
        return self._sees(RootName(upload.plan.root))

    async def all(self) -> list[Unfinished]:
        """Return the unfinished uploads, the last one first."""
        found = await in_thread(functools.partial(self._uploads.of, self._owner))
        return list(filter(self._may_see, found))

    async def cancel(self, ident: str) -> None:
        """Give an upload up."""
        await in_thread(functools.partial(self._uploads.drop, self.get(ident)))

    async def send(
        self, ident: str, offset: int, pieces: AsyncIterator[bytes], check: Check
    ) -> Unfinished:
        """Add what arrives to an upload, and store the file when it is complete.

        Raises
        ------
        StaleVersion
            If the upload goes on at another offset, which is in the error's ``info``.
        Busy
            While another request sends it.
        BadUpload, NotFound, QuotaExceeded, Conflict
        """
        upload = self.get(ident)
        if upload.sending:
            raise Busy(f"another request sends {upload.place}", after_ms=1000)
        if offset != upload.offset:
            reason = f"{upload.place} goes on at offset {upload.offset}, not {offset}"
            raise StaleVersion(reason, info={"offset": upload.offset})
        if upload.complete:
            return upload
        upload.sending = True
        try:
            await self._receive(upload, pieces)
            if upload.offset == upload.plan.size and self._uploads.holds(upload):
                await run_to_completion(self._complete(upload, check))
        finally:
            upload.sending = False
            if not upload.complete and not self._uploads.holds(upload):
                await in_thread(lambda: self._uploads.drop(upload))
        return upload

    async def _receive(self, upload: Unfinished, pieces: AsyncIterator[bytes]) -> None:
        path, left = DatasetPath(upload.plan.path), upload.plan.size - upload.offset
        source = Upload("", _at_most(left, pieces))
        try:
            await receive(source, upload.staged, path, self._limits, upload.offset)
        finally:
            with os_errors(path):
                await in_thread(lambda: upload.settle(self._uploads.clock()))

    async def _complete(self, upload: Unfinished, check: Check) -> None:
        try:
            await self._store(upload.plan, upload, check)
        except Exception as error:
            if not isinstance(error, _PASSING):
                await in_thread(lambda: self._uploads.drop(upload))
            raise
        await in_thread(lambda: self._uploads.completed(upload))

    async def _store(self, plan: Plan, upload: Unfinished, check: Check) -> None:
        content, path, archive = upload.staged, DatasetPath(plan.path), plan.archive
        root = await self._targets.root(Place(RootName(plan.root), path, False), "uploading to")
        if archive is None:
            await in_thread(lambda: files.check(content.path, path, self._limits))
            await commit.put(root, content, path, check=check)
            return
        async with staged(self._incoming, tree=True) as tree:
            with os_errors(path):
                await in_thread(lambda: archives.unpack(archive, content.path, tree, self._limits))
            await commit.put(root, tree, path, new=True)


async def _at_most(left: int, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise BadUpload("the body has more bytes than the upload lacks")
        yield piece
