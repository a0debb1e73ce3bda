"""The readers of the root: announced, sent to subscribers, and checked at each request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from caterva2.accounts import readers
from caterva2.accounts.readers import EVERYBODY, Readers
from caterva2.errors import Busy, NotAllowed
from caterva2.wire import messages
from caterva2.wire.auth.policy import Role
from caterva2.wire.responder import Peer

log = logging.getLogger(__name__)
RETRY_MS = 100
"""Milliseconds until a subscriber that applies other rights should ask again."""


def _no_keys(_holder: str) -> Iterable[str]:
    return ()


class RootReaders:
    """The readers of the root, which can be replaced at any time, by any thread.

    A publisher can't see who reads at a subscriber. So it answers those only that say, with each
    request, that they apply the readers that are in force: older ones know of none.

    Parameters
    ----------
    given : frozenset of str, optional
        See `accounts.readers.parse`.

    Attributes
    ----------
    rights : str
        The name of what is in force; empty where everybody may read.
    """

    def __init__(self, given: Readers = EVERYBODY) -> None:
        self._readers = given
        self._keys: Callable[[str], Iterable[str]] = _no_keys
        self._on_change: Callable[[], None] = _unwatched
        self.rights = readers.rights_of(given, self._keys)

    def watch(self, keys: Callable[[str], Iterable[str]], on_change: Callable[[], None]) -> None:
        """Know the keys of holders from now on, and say when `rights` changed, on any thread."""
        self._keys, self._on_change = keys, on_change
        self.rights = readers.rights_of(self._readers, keys)

    def replace(self, given: Readers) -> None:
        """Put other readers in force."""
        self._readers = given
        self.review()

    def review(self) -> None:
        """Find out whether the keys of holders changed."""
        before, self.rights = self.rights, readers.rights_of(self._readers, self._keys)
        if self.rights != before:
            log.info("who may read has changed")
            self._on_change()

    def shown_to(self, peer: Peer) -> tuple[str, ...]:
        """Return the readers that a subscriber has to apply; none where everybody may read."""
        return readers.shown_to(self._readers, peer.grant.name) if self.rights else ()

    def shown_to_mirror(self, peer: Peer) -> tuple[str, ...]:
        """Return all readers, for a mirror to apply.

        There are none where everybody may read, and for a key that may read but not mirror: its
        holder reads the root, and can't serve it again.
        """
        if not self.rights or Role.MIRROR not in peer.grant.role:
            return ()
        return tuple(sorted(self._readers))

    def check(self, request: messages.RootRequest) -> None:
        """Raise an error unless the sender of a request applies the readers in force.

        Raises
        ------
        NotAllowed
            If it knows of no readers.
        Busy
            If it will know of others soon.
        """
        if not self.rights or request.rights == self.rights:
            return
        if request.rights is None:
            raise NotAllowed(
                "not everybody may read this root, and this subscriber can't say who does: it needs"
                " a newer version of caterva2"
            )
        raise Busy("who may read this root has changed", after_ms=RETRY_MS)


def _unwatched() -> None:
    """Do nothing about a change before there is a publisher."""
