"""Which of the announced publishers and mirrors a subscriber may take a root from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType

from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.wire.auth.curve import PLAIN, Links
from caterva2.wire.networks import ANYWHERE, Networks

log = logging.getLogger(__name__)
_KEYED = "a key, and this subscriber uses none"


class Admission:
    """The rules for publishers and mirrors, which others announce.

    Parameters
    ----------
    near : bool
        Whether what announces them is on this machine.
    links : Links, optional
        To publishers: those that they do not reach are not used.
    publishers : Networks, optional
        Where they may be.
    pinned : mapping, optional
        The keys that they must have, by their roots.
    """

    def __init__(
        self,
        near: bool,
        links: Links = PLAIN,
        publishers: Networks = ANYWHERE,
        pinned: Mapping[RootName, frozenset[str]] = MappingProxyType({}),
    ) -> None:
        self._near = near
        self._links = links
        self._publishers = publishers
        self._pinned = pinned

    def admitted(self, info: RootInfo) -> RootInfo | None:
        """Return a root with those of its publisher and mirrors that may be used; None for none."""
        if not info.away and self._is_refused(info, "", info.endpoints[0], info.curve_key):
            info = info.model_copy(update={"away": True})
        mirrors = tuple(
            one for one in info.mirrors
            if not self._is_refused(info, f"mirror {one.mirror} of ", one.endpoint, one.curve_key)
        )  # fmt: skip
        if info.away and not mirrors:
            return None
        return info if mirrors == info.mirrors else info.model_copy(update={"mirrors": mirrors})

    def _is_refused(self, info: RootInfo, title: str, endpoint: str, key: str) -> bool:
        wrong = self._publishers.refusal(endpoint, self._near)
        if not self._links.reaches(key):
            wrong = "it has " + (_KEYED if key else "no key")
        elif key not in self._pinned.get(info.root, (key,)):
            wrong = f"its key {key or 'none'} is none of [subscriber.publisher_keys]"
        if wrong:
            log.warning("%sroot %s at %s is not used: %s", title, info.root, endpoint, wrong)
        return bool(wrong)
