"""A subscriber as its users see it."""

from __future__ import annotations

from caterva2.model import User
from caterva2.services.subscriber import Subscriber


class Views:
    """Shows each user the roots that the user may read.

    Parameters
    ----------
    subscriber : Subscriber
        Whose published roots are shown.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    def seen_by(self, user: User | None) -> Subscriber:
        """What a user sees; None is somebody who has not logged in."""
        return self._subscriber
