"""Judge whether a publisher is there while no broker says so. Pure."""

from __future__ import annotations

import math

UNCONNECTED = 0.4
"""Seconds without an answer after which a publisher without a connection is suspect."""
UNANSWERED = 2.5
"""The same where the connection was not lost: it may be slow, or the machine is gone."""


class Reachability:
    """What is known of a publisher without its broker.

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

    def judge(self, now: float, connected: bool, heard: float, broker_lost: bool) -> bool:
        """Judge anew; return whether the judgement has changed.

        Parameters
        ----------
        now : float
        connected : bool
            Whether the connection was established and not lost since.
        heard : float
            When the last reply arrived.
        broker_lost : bool
            Whether the broker's word no longer counts: otherwise no publisher becomes suspect.
        """
        if heard >= self._since:
            before, self.suspect, self._since = self.suspect, False, math.inf
            return before
        patience = UNANSWERED if connected else UNCONNECTED
        silent = now - max(self._since, heard if connected else -math.inf)
        if self.suspect or not broker_lost or silent < patience:
            return False
        self.suspect = True
        return True
