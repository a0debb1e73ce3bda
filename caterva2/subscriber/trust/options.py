"""What has to be signed, by whose keys, as the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from caterva2.config import SubscriberSettings
from caterva2.errors import BadName, ConfigError
from caterva2.names import RootName
from caterva2.wire.auth import keys

Trust = Literal["first-use", "signed", "connection"]


@dataclass(frozen=True, slots=True)
class TrustOptions:
    """What has to be signed.

    Parameters
    ----------
    trust : str
        ``first-use``: what comes by mirrors, where the origin is known to sign; ``signed``:
        everything; ``connection``: nothing.
    keys : mapping
        Keys of the origins of some roots, which must have signed everything of these.
    """

    trust: Trust = "first-use"
    keys: Mapping[RootName, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: SubscriberSettings) -> TrustOptions:
        """Return those of some settings; raise `ConfigError` for what is no key."""
        return cls(settings.trust, named(settings.signing_keys, "signing_keys"))


def named(given: Mapping[str, str | list[str]], setting: str) -> dict[RootName, frozenset[str]]:
    """Return the keys that a setting has for roots; raise `ConfigError` for what is none."""
    found: dict[RootName, frozenset[str]] = {}
    for text, one in given.items():
        try:
            found[RootName(text)] = frozenset(
                map(keys.checked, [one] if isinstance(one, str) else one)
            )
        except (BadName, ConfigError) as error:
            raise ConfigError(f"[subscriber.{setting}] {text}: {error}") from None
    return found
