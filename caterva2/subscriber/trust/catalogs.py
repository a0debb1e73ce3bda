"""Whether a catalog is one that its origin signed, and not older than the one that is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from caterva2.errors import Busy
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import Manifest
from caterva2.names import DatasetPath
from caterva2.signing.checks import Checks
from caterva2.signing.entries import BUCKETS, EntriesDigest
from caterva2.subscriber.catalog import order
from caterva2.subscriber.catalog import pages as catalog_pages
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.subscriber.publishers.choice import Behind
from caterva2.wire.messages import PublisherHello


class SignedCatalogs:
    """Take catalogs of one root as a whole, once all of them is what the origin signed.

    Parameters
    ----------
    limits : Limits, optional
    """

    def __init__(self, limits: Limits = DEFAULTS) -> None:
        self._limits = limits
        self._digest: EntriesDigest | None = None
        self._of: tuple[str, int] = ("", -1)

    async def request(
        self, ask: catalog_pages.Ask, known: CatalogCopy, inst: str,
        mirror: PublisherHello | None, checks: Checks,
    ) -> tuple[CatalogCopy, set[DatasetPath]]:  # fmt: skip
        """Request what changed since a copy; return the new one, and the paths that changed.

        Parameters
        ----------
        ask : callable
        known : CatalogCopy
        inst : str
            The publisher's run that is announced.
        mirror : PublisherHello or None
            What the mirror says that is asked; None for the publisher itself.
        checks : Checks

        Raises
        ------
        Forged
        Behind
            If it is older than the one that is known, or not signed at a mirror whose origin is
            away.
        """
        taken = await asyncio.to_thread(known.copied)
        changed: set[DatasetPath] = set()
        differing: set[DatasetPath] | None = set()
        for left in reversed(range(max(2, self._limits.wire.retries))):
            since = taken.since(inst)
            pages = await ask(inst, since)
            if mirror is not None:
                order.check_pages(pages, mirror, since)
            changed |= await asyncio.to_thread(taken.take, pages)
            differing = catalog_pages.differing(pages, differing)
            manifest = pages[-1].manifest
            # Pages in order may be of a state that was signed no more when the last was sent.
            if taken.even and manifest is None and mirror is not None and _is_cut_off(mirror):
                # It may know of a change that its origin could not sign any more: no forgery.
                raise Behind(f"revision {taken.rev} is not signed, and its origin is away")
            if taken.even and (manifest is not None or not left):
                taken.manifest = await self.check(taken, known, differing, manifest, checks)
                return taken, changed
        raise Busy("the catalog changes all the time", after_ms=100)

    async def check(
        self, taken: CatalogCopy, known: CatalogCopy, changed: Iterable[DatasetPath] | None,
        manifest: Manifest | None, checks: Checks,
    ) -> Manifest:  # fmt: skip
        """Return the signed state that a copy is of.

        Parameters
        ----------
        taken, known : CatalogCopy
            The copy to be checked, and the one before.
        changed : iterable of DatasetPath or None
            The paths in which they may differ; None if these are not known.
        manifest : Manifest or None
        checks : Checks

        Raises
        ------
        Forged
        Behind
            If it is older than the one before.
        """
        said = await asyncio.to_thread(checks.manifest, manifest)
        if (said.inst, said.rev) != (taken.inst, taken.rev):
            raise checks.refused(f"the signature of revision {said.rev} stands at {taken.rev}")
        refuse_older(said, known)
        if self._of != (known.inst, known.rev):
            changed = None
        if await self._made(taken, changed) != said.digest:
            self._digest = None
            raise checks.refused("the catalog has other entries than its origin signed")
        self._of = taken.inst, taken.rev
        return said

    async def _made(self, copy: CatalogCopy, changed: Iterable[DatasetPath] | None) -> bytes:
        digest, self._digest = self._digest, None  # while a thread changes it
        paths = None if digest is None or changed is None else list(changed)

        def made() -> EntriesDigest:
            if digest is None or paths is None or len(paths) > BUCKETS:
                return EntriesDigest([*copy.entries.values(), *copy.groups.values()])
            digest.change(paths, copy.entry)
            return digest

        self._digest = await asyncio.to_thread(made)
        return self._digest.value


def _is_cut_off(mirror: PublisherHello) -> bool:
    return mirror.origin is not None and mirror.origin.away


def refuse_older(said: Manifest, known: CatalogCopy) -> None:
    """Raise `Behind` if a signed state is older than a copy.

    Of two runs of a publisher, the later one has the higher fence, or, where the fences were
    lost, signed later.
    """
    before = known.manifest
    if said.inst == known.inst:
        older = said.rev < known.rev
    else:
        older = before is not None and said.fence <= before.fence and said.time <= before.time
    if older:
        raise Behind(
            f"revision {said.rev} under fence {said.fence} is signed: that of {known.rev} under"
            f" {known.fence} is known",
            after_ms=500,
        )
