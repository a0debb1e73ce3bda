"""Judge whether a publisher is there before, or without, its broker. Pure."""

from __future__ import annotations

import enum
import math

UNCONNECTED = 0.4
"""Seconds without an answer after which a publisher that can't be connected to is suspect."""
UNANSWERED = 2.5
"""The same where it may be slow, or its machine is gone."""


class Link(enum.Enum):
    """The connection to a publisher."""

    UP = enum.auto()
    """Something arrived, and it was not lost since."""
    ABSENT = enum.auto()
    """It is not established yet, or was lost."""
    REFUSED = enum.auto()
    """Nothing listens where the publisher was."""


class Reachability:
    """What is known of a publisher beside its broker's word.

    Times are monotonic seconds.

    Attributes
    ----------
    suspect : bool
        Whether the publisher is probably gone.
    """

    def __init__(self) -> None:
        self.suspect = False
        self._since = math.inf

    def settle(self) -> None:
        """Trust the publisher, since a broker announced it anew."""
        self.suspect = False
        self._since = math.inf

    def asked(self, now: float) -> None:
        """Note that a probe was sent; the first one without an answer counts."""
        self._since = min(self._since, now)

    def judge(
        self,
        now: float,
        link: Link,
        heard: float,
        broker_lost: bool,
        patience: float | None = None,
    ) -> bool:
        """Judge anew; return whether the judgement has changed.

        Parameters
        ----------
        now : float
        link : Link
        heard : float
            When the last reply arrived.
        broker_lost : bool
            Whether the broker's word no longer counts. As long as it does, a publisher whose
            connection is up is only slow.
        patience : float, optional
            Seconds without an answer that count in place of all this, where others serve the root.
        """
        if heard >= self._since:
            before, self.suspect, self._since = self.suspect, False, math.inf
            return before
        silent = now - max(self._since, heard if link is Link.UP else -math.inf)
        if patience is None or link is Link.REFUSED:
            patience = _patience(link, broker_lost)
        if self.suspect or silent < patience:
            return False
        self.suspect = True
        return True


def _patience(link: Link, broker_lost: bool) -> float:
    if link is Link.UP:
        return UNANSWERED if broker_lost else math.inf
    return UNCONNECTED if broker_lost or link is Link.REFUSED else UNANSWERED
