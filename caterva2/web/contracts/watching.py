"""Contracts of the web application with a subscriber that is watched: events and monitoring."""

from __future__ import annotations

from typing import Protocol

from caterva2.errors import CatervaError
from caterva2.model import Event, Health, Lost
from caterva2.names import RootName
from caterva2.rest.service import Status
from caterva2.runtime.metrics import Metrics


class Listener(Protocol):
    """A queue of events for one client."""

    async def next(self) -> Event | Lost | None:
        """Return the next event, `Lost` where some were dropped, None at the end."""
        ...

    def close(self) -> None:
        """Stop listening; may be called twice. There is no `next` after it."""
        ...


class Events(Protocol):
    """Events of the roots."""

    def listen(self, root: RootName | None) -> Listener:
        """Listen to all roots, or to one, from now on."""
        ...


class Monitoring(Protocol):
    """State of the service, for operators. Only the check raises anything."""

    def health(self) -> Health:
        """Return whether the broker was heard lately, and how many roots are published."""
        ...

    def quota(self) -> tuple[int, int] | None:
        """Return the bytes of special roots, and the most; None if the user may not write."""
        ...

    def check_watching(self) -> None:
        """Raise `LoginNeeded` if the user may not see what is of all roots and users."""
        ...

    def shows_metrics(self, root: str) -> bool:
        """Return whether those who may see metrics see those of a root."""
        ...

    async def status(self) -> Status:
        """Return the status of the service, as far as the user may see it."""
        ...

    def answered(self, error: CatervaError) -> None:
        """Note an error that the user is answered with."""
        ...

    async def unready(self) -> str:
        """Return why the service can't serve now; empty if it can."""
        ...

    async def report(self, metrics: Metrics) -> None:
        """Report what is measured when it is asked for."""
        ...
