"""The rules of signatures of one root: where they are needed, and by which keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from caterva2.model import DatasetInfo, Signer
from caterva2.names import RootName
from caterva2.runtime.logs.bounded import BoundedLog
from caterva2.runtime.lru import Lru
from caterva2.signing import statements
from caterva2.signing.checks import Checks
from caterva2.signing.keys import signed_by
from caterva2.subscriber.trust.pins import Pins
from caterva2.wire.messages import BlocksRequest, RootRequest

log = logging.getLogger(__name__)
COUNTING = 4096
"""Signatures of descriptions of which it is remembered whether their keys count."""


class RootTrust:
    """What has to be signed of one root.

    Parameters
    ----------
    root : RootName
    pins : Pins
    is_mirror : callable
        Says whether a provider of a name is a mirror.
    passes_on : callable
        Says whether the root is served again here, with what its origin signed.

    Attributes
    ----------
    refused : int
        How often something was not signed by the origin.
    """

    def __init__(
        self,
        root: RootName,
        pins: Pins,
        is_mirror: Callable[[str], bool],
        passes_on: Callable[[], bool] = lambda: False,
    ) -> None:
        self.refused = 0
        self._root = root
        self._pins = pins
        self._is_mirror = is_mirror
        self._is_mirrored = passes_on
        self._asked = False
        self._log = BoundedLog(log)
        self._said_unsigned = False
        self._checks = Checks(root, (), self._on_refused)
        self._counting: Lru[tuple[bytes, frozenset[str]], bool] = Lru(COUNTING)

    def _on_refused(self, why: str) -> None:
        self.refused += 1
        self._log.note(logging.WARNING, "root %s: refused: %s", self._root, why)

    def checks(self, provider: str) -> Checks | None:
        """Return what checks all that a provider sends; None if its connection is enough."""
        trust, known = self._pins.options.trust, self._pins.of(self._root)
        by_mirror = trust != "connection" and bool(known) and self._is_mirror(provider)
        if not self._needs_all and not by_mirror:
            return None
        if self._checks.trusted != known:
            self._checks = Checks(self._root, known, self._on_refused)
        return self._checks

    async def check(self, provider: str, infos: Sequence[DatasetInfo]) -> None:
        """Raise `Forged` where descriptions by a provider have to be signed, and are not."""
        checks = self.checks(provider)
        if checks is not None and infos:
            await asyncio.to_thread(_check_all, checks, infos)

    def wants(self, provider: str, request: RootRequest) -> bool:
        """Return whether a provider is asked for what the origin signed of an answer.

        Only whole chunks are passed on, and to sign blocks all of their chunk has to be read.
        """
        passed_on = self._passes_on() and not isinstance(request, BlocksRequest)
        return passed_on or self.checks(provider) is not None

    def ask(self) -> None:
        """Ask for what the origin signed from here on: a reader checks what it takes from here."""
        self._asked = True

    def _passes_on(self) -> bool:
        return self._asked or self._is_mirrored()

    @property
    def passes_on(self) -> bool:
        """Whether what the origin signed is needed for readers that take the root from here."""
        return self.signs and self._passes_on()

    @property
    def signs(self) -> bool:
        """Whether the origin signs, as far as that is known: it may have stopped."""
        return bool(self.signers) and not self._said_unsigned

    @property
    def has_dropped(self) -> bool:
        """Whether a key of the origin counts no more, with which something here may be signed."""
        return self._pins.has_dropped(self._root)

    def may_pass_on(self, info: DatasetInfo) -> bool:
        """Return whether a description is signed by a key that counts, if that is needed here."""
        if not self.shown or not info.signature or not self.has_dropped:
            return bool(info.signature) or not self.shown
        case = info.signature, self.keys
        counts = self._counting.get(case)
        if counts is None:
            said = statements.description(self._root, info)
            counts = signed_by(self.keys, info.signature, said)
            self._counting.put(case, counts)
        return counts

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the origin; none if that is not known to sign."""
        return self._pins.of(self._root)

    @property
    def signers(self) -> tuple[Signer, ...]:
        """What the origin says of its keys."""
        return self._pins.shown(self._root)

    @property
    def shown(self) -> tuple[Signer, ...]:
        """What those are shown that take the root from here; nothing if that is no use to them."""
        return self.signers if self._passes_on() or self._needs_all else ()

    @property
    def _needs_all(self) -> bool:
        return self._pins.options.trust == "signed" or self._root in self._pins.options.keys

    async def hear(self, signers: tuple[Signer, ...], provider: str) -> None:
        """Take what a provider says of the keys of the origin."""
        self._said_unsigned = not signers
        self._pins.hear(self._root, signers, directly=not self._is_mirror(provider))
        if signers and signers[0].key not in self.keys:
            self._log.note(
                logging.WARNING,
                "root %s: its origin is said to sign with key %s, which no known key endorses for"
                " this root: if that is so, name it in signing_keys",
                self._root, signers[0].key,
            )  # fmt: skip
        await self._pins.keep()


def _check_all(checks: Checks, infos: Sequence[DatasetInfo]) -> None:
    for info in infos:
        checks.description(info)
