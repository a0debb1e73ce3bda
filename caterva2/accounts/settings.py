"""What the configuration says of accounts and of who may read what."""

from __future__ import annotations

from caterva2 import config, limits
from caterva2.accounts.accounts import AccountOptions
from caterva2.accounts.identity import Email
from caterva2.accounts.policy import Policy, Readers
from caterva2.config import SubscriberSettings
from caterva2.errors import BadAccount, BadName, ConfigError
from caterva2.names import RootName


def options(settings: SubscriberSettings, secret: str) -> AccountOptions | None:
    """How accounts are kept, given the environment's secret; None if there are none.

    Raises
    ------
    ConfigError
        If something is set that has no meaning, or would not protect, without accounts.
    """
    on = bool(secret) if settings.login is None else settings.login
    needing = {
        "login = true": settings.login is True and not secret,
        "register = true": settings.registering and not on,
        "read": settings.read != "public" and not on,
        "roots.NAME.read": any(root.read != "public" for root in settings.roots.values())
        and not on,
    }
    for name, wrong in needing.items():
        if wrong:
            why = "login is false" if secret else f"{config.SECRET} is not set in the environment"
            raise ConfigError(f"[subscriber] {name} needs accounts, but {why}")
    if not on:
        return None
    most = settings.maxusers or limits.USERS
    return AccountOptions(secret.encode(errors="surrogateescape"), settings.registering, most)


def policy(settings: SubscriberSettings) -> Policy:
    """Who may read what; `ConfigError` where a root's name or an address can't be one."""
    roots: dict[RootName, Readers] = {}
    for text, root in settings.roots.items():
        try:
            name = RootName(text)
        except BadName as error:
            raise ConfigError(f"[subscriber.roots]: {error}") from None
        if name.is_special:
            raise ConfigError(f"[subscriber.roots]: {name} has readers that can't be set")
        roots[name] = _readers(root.read, f"[subscriber.roots.{name}]")
    return Policy(_readers(settings.read, "[subscriber]"), roots)


def _readers(given: config.Readers, where: str) -> Readers:
    if not isinstance(given, list):
        return given
    try:
        return frozenset(map(Email, given))
    except BadAccount as error:
        raise ConfigError(f"{where} read: {error}") from None
