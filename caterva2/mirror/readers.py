"""The readers of a root, as its origin says."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from caterva2.errors import RootOffline
from caterva2.publisher.readers import RootReaders
from caterva2.wire import messages


class MirroredReaders(RootReaders):
    """Readers that the origin names; which keys they stand for, the mirror's own list says.

    Parameters
    ----------
    in_force : callable
        Says whether the rights of a name are those that count now, as far as is known here.
    """

    def __init__(self, in_force: Callable[[str], bool]) -> None:
        super().__init__()
        self._in_force = in_force
        self.known = False

    def learn(self, rights: str, words: Iterable[str]) -> None:
        """Apply what the origin said."""
        self.rights, self._readers, self.known = rights, frozenset(words), True

    def forget(self) -> None:
        """Refuse every reader until the origin sends its list of readers."""
        self.known = False

    def review(self) -> None:
        """Do nothing about a change of keys: the origin names the rights."""

    @property
    def hidden(self) -> str:
        """Why nothing is served now; empty if something is."""
        if not self.known:
            return "its origin does not say who may read it, as it does to keys of the role mirror"
        if not self._in_force(self.rights):
            return "its mirror does not know who may read it"
        return ""

    def check(self, request: messages.RootRequest) -> None:
        """Raise an error unless the sender of a request applies the readers in force.

        Raises
        ------
        NotAllowed, Busy
        RootOffline
            If they are not known now.
        """
        if why := self.hidden:
            raise RootOffline(why, after_ms=500)
        super().check(request)
