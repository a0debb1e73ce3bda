"""Settings of mirrors: roots, endpoints, and which datasets stay cached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Self

from caterva2.config.settings import MirrorSettings
from caterva2.errors import ConfigError
from caterva2.names import DatasetPath, RootName
from caterva2.wire.auth.service_keys import KeyOptions
from caterva2.wire.sockets import Address

_LONGEST = 1100
"""Characters of a pattern: those of a root and a path."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """Roots and parts of roots: ``ROOT`` or ``ROOT/PATH``, where ``*`` is any characters."""

    parts: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str], where: str) -> Self:
        """Read patterns.

        Raises
        ------
        ConfigError
            If one of them names nothing, or a special root.
        """
        parts = []
        for text in texts:
            root, _, path = text.partition("/")
            if not root or root.startswith("@") or len(text) > _LONGEST:
                raise ConfigError(f"{where}: {text[:80]!r} names no root: write climate or beam/**")
            parts.append((root, path or "*"))
        return cls(tuple(parts))

    def __bool__(self) -> bool:
        return bool(self.parts)

    def cover(self, root: RootName) -> bool:
        """Return whether they name something of a root."""
        return not root.is_special and any(fnmatchcase(root, one) for one, _ in self.parts)

    def name(self, root: RootName, path: DatasetPath) -> bool:
        """Return whether they name a dataset."""
        return any(fnmatchcase(root, r) and fnmatchcase(path, p) for r, p in self.parts)


@dataclass(frozen=True, slots=True)
class MirrorOptions:
    """The roots that are served again, and where.

    ``to`` is the broker of another site, with ``to_keys`` for it; without it readers of the
    subscriber's own broker are served. Each root has a socket of its own: with a port other than 0
    they get consecutive ones. ``fills`` are datasets that are fetched ahead, ``pinned`` ones that
    are never evicted; with ``follow`` what was cached of a version is fetched of the next one.
    """

    publish: Patterns
    endpoint: Address = field(default_factory=lambda: Address("127.0.0.1", 0))
    advertise: Address | None = None
    to: Address | None = None
    to_keys: KeyOptions = field(default_factory=KeyOptions)
    keys: KeyOptions = field(default_factory=KeyOptions)
    fills: Patterns = field(default_factory=Patterns)
    pinned: Patterns = field(default_factory=Patterns)
    follow: bool = False

    @classmethod
    def of(cls, settings: MirrorSettings) -> Self | None:
        """Return what settings say; None if nothing is served again.

        Raises
        ------
        ConfigError
            If one of them can't be used.
        """
        if not settings.publish:
            return None
        keys, given = KeyOptions.of(settings), settings.publish_advertise
        fills = settings.publish if settings.mirror == "all" else settings.mirror
        return cls(
            publish=Patterns.of(settings.publish, "publish"),
            endpoint=Address.parse(settings.publish_endpoint),
            advertise=Address.parse(f"{given}:0") if given else None,
            to=Address.parse(settings.publish_to) if settings.publish_to else None,
            to_keys=replace(keys, broker_key=settings.publish_to_key),
            keys=keys,
            fills=Patterns.of([] if fills == "on-demand" else fills, "mirror"),
            pinned=Patterns.of(settings.pin, "pin"),
            follow=settings.follow,
        )
