"""The keys with which origins sign, learned when they are first heard; kept in a file."""

from __future__ import annotations

import asyncio
import functools
import logging
from pathlib import Path
from typing import Any

from caterva2.model import Signer
from caterva2.names import RootName
from caterva2.runtime import statefile
from caterva2.runtime.uncancellable import in_thread
from caterva2.signing import keys
from caterva2.subscriber.trust.options import TrustOptions

log = logging.getLogger(__name__)
FILE = "signers.json"
FORMAT = 1
_LOST = "the keys with which origins sign are learned anew, as at the first use"


class Pins:
    """Keys of origins.

    Parameters
    ----------
    file : Path or None
        Where they outlive the subscriber; None keeps them in memory.
    options : TrustOptions, optional

    Attributes
    ----------
    options : TrustOptions

    Raises
    ------
    StartError
        If the file can't be read.
    """

    def __init__(self, file: Path | None = None, options: TrustOptions | None = None) -> None:
        self.options = options or TrustOptions()
        self._file = file
        self._keys: dict[RootName, frozenset[str]] = {}
        self._shown: dict[RootName, tuple[Signer, ...]] = {}
        self._added: dict[RootName, frozenset[str]] = {}
        """The keys of the settings, with those that take their places."""
        self._dropped: set[RootName] = set()
        self._changed = False
        self._writing = asyncio.Lock()
        if file is not None:
            statefile.read(file, FORMAT, self._parse, _LOST)

    def _parse(self, _format: int, content: Any) -> bool:
        for text, one in content["roots"].items():
            name = RootName(text)
            self._shown[name] = tuple(
                Signer.model_validate(x, strict=False) for x in one["signers"]
            )
            self._keys[name] = frozenset(map(str, one["keys"]))
            if one.get("dropped"):
                self._dropped.add(name)
        return True

    def of(self, root: RootName) -> frozenset[str]:
        """Return the keys of the origin of a root; none if that is not known to sign."""
        given, found = self.options.keys.get(root), self._keys.get(root, frozenset())
        if given is None:
            return found
        if root not in self._added:
            self._added[root] = keys.endorsed(root, given, self.shown(root))
        return self._added[root]

    def shown(self, root: RootName) -> tuple[Signer, ...]:
        """Return what the origin of a root says of its keys, for those that take it from here."""
        return self._shown.get(root, ())

    def has_dropped(self, root: RootName) -> bool:
        """Return whether a key of an origin counts no more that something here may be signed by."""
        return root in self._dropped

    def hear(self, root: RootName, signers: tuple[Signer, ...], *, directly: bool) -> None:
        """Take what is said of the keys of an origin, by itself or by a mirror.

        A key that is known brings in the one that takes its place, and goes with the next. Where
        the settings leave it to connections, the origin itself may have any other.
        """
        if not signers:
            return
        known, own = self.of(root), frozenset([signers[0].key])
        if own <= known:
            if directly or root not in self._shown:
                self._keep(root, self._keys.get(root, frozenset()), signers)
            return
        found = keys.endorsed(root, known, signers)
        if own <= found:  # and not some other of those that a mirror may have put together
            self._keep(root, found & keys.endorsed(root, own, signers, formers=True), signers)
            return
        if not known or (directly and self._may_change(root)):
            if known:
                log.warning("the publisher of %s signs with another key now: %s", root, *own)
            self._keep(root, keys.endorsed(root, own, signers, formers=True), signers)

    def _may_change(self, root: RootName) -> bool:
        return self.options.trust != "signed" and root not in self.options.keys

    def _keep(self, root: RootName, found: frozenset[str], signers: tuple[Signer, ...]) -> None:
        if not self._keys.get(root, frozenset()) <= found:
            self._dropped.add(root)
        if (self._keys.get(root), self._shown.get(root)) != (found, signers):
            self._keys[root], self._shown[root] = found, signers
            self._added.pop(root, None)
            self._changed = True

    async def keep(self) -> None:
        """Write the file if something changed; a failure is logged."""
        async with self._writing:
            if not self._changed or self._file is None:
                return
            self._changed = False
            content = {
                str(name): {
                    "keys": sorted(self._keys[name]),
                    "signers": [one.model_dump(mode="json") for one in signers],
                    "dropped": name in self._dropped,
                }
                for name, signers in self._shown.items()
            }
            saved = {"roots": content}
            try:
                await in_thread(functools.partial(statefile.write, self._file, FORMAT, saved))
            except OSError as error:
                self._changed = True
                log.error("%s can't be written: %s", self._file, error)
