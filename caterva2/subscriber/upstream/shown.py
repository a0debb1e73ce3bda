"""Who may read here what an upstream does not show to everybody."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

from caterva2.accounts import readers
from caterva2.accounts.readers import Readers
from caterva2.names import RootName
from caterva2.wire import messages
from caterva2.wire.messages import Reply, Request

R = TypeVar("R", bound=Reply)


class Shown:
    """Put the readers of the settings in the place of those that the upstream names.

    Of a root that not everybody may read the upstream names the user of the token. Its name for
    these rights travels with each request; here the name is that of the readers of the settings, so
    that it changes with them.

    Parameters
    ----------
    given : Readers or None
        None leaves it at what the upstream says.
    """

    def __init__(self, given: Readers | None = None) -> None:
        self._given = given
        self._rights = "" if given is None else readers.rights_of(given, _no_keys)
        self._named: dict[RootName, str] = {}
        """Names of rights at the upstream."""

    def of(self, reply: R) -> R:
        """Return a reply as it counts here; of hellos only that differs."""
        if not isinstance(reply, messages.PublisherHello):
            return reply
        self._named[reply.root] = reply.rights
        if self._given is None or not reply.rights:
            return reply
        named = tuple(sorted(self._given))
        return reply.model_copy(update={"rights": self._rights, "readers": named})

    def keep(self, names: Collection[RootName]) -> None:
        """Forget all roots but some."""
        for name in list(self._named):
            if name not in names:
                self._named.pop(name, None)

    def translated(self, root: RootName, request: Request) -> Request:
        """Return a request with the upstream's name of the rights that are applied here."""
        if self._given is None or not isinstance(request, messages.RootRequest):
            return request
        return request.model_copy(update={"rights": self._named.get(root, "")})


def _no_keys(_holder: str) -> Iterable[str]:
    return ()
