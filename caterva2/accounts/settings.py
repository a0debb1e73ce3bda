"""Account options and access policy from the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from caterva2 import config
from caterva2.accounts import oidc, readers
from caterva2.accounts.accounts import AccountOptions
from caterva2.accounts.identity import Email
from caterva2.accounts.policy import Audience, Policy
from caterva2.config import SubscriberSettings
from caterva2.errors import BadAccount, BadName, ConfigError
from caterva2.limits import DEFAULTS, AccountLimits
from caterva2.names import RootName

Groups = Mapping[str, frozenset[Email]]


def options(
    settings: SubscriberSettings, secret: str, limits: AccountLimits = DEFAULTS.accounts
) -> AccountOptions | None:
    """Return the account options for the settings and the secret; None if accounts are off.

    Raises
    ------
    ConfigError
        If a setting has no meaning, or would not protect anything, without accounts.
    """
    on = bool(secret) if settings.login is None else settings.login
    needing = {
        "login = true": settings.login is True and not secret,
        "register = true": settings.registering and not on,
        "oidc": settings.oidc is not None and not on,
    }
    why = "login is false" if secret else f"{config.SECRET} is not set in the environment"
    for name, wrong in needing.items():
        if wrong:
            raise ConfigError(f"[subscriber] {name} needs accounts, but {why}")
    check_rights(settings, on, why)
    if not on:
        return None
    max_users = settings.maxusers or limits.users
    given = secret.encode(errors="surrogateescape"), settings.registering, max_users
    return AccountOptions(*given, oidc.options(settings.oidc))


def check_rights(
    settings: SubscriberSettings, accounts: bool, why: str = "the subscriber was started without"
) -> None:
    """Raise `ConfigError` if rights to read are restricted where there are no accounts."""
    restricted = {
        "read": settings.read != "public",
        "write": settings.write != "users",
        "roots.NAME.read": any(root.read != "public" for root in settings.roots.values()),
    }
    for name, wrong in restricted.items():
        if wrong and not accounts:
            raise ConfigError(f"[subscriber] {name} needs accounts, but {why}")


def policy(settings: SubscriberSettings) -> Policy:
    """Return the access policy; `ConfigError` for an invalid name or address."""
    groups = {
        name: _addresses(given, f"[subscriber.groups] {name}")
        for name, given in settings.groups.items()
    }
    claimed = settings.oidc is not None and settings.oidc.groups_claim != ""
    roots: dict[RootName, Audience] = {}
    for text, root in settings.roots.items():
        try:
            name = RootName(text)
        except BadName as error:
            raise ConfigError(f"[subscriber.roots]: {error}") from None
        if name.is_special:
            raise ConfigError(f"[subscriber.roots]: {name} has readers that can't be set")
        roots[name] = _audience(root.read, groups, claimed, f"[subscriber.roots.{name}] read")
    read = _audience(settings.read, groups, claimed, "[subscriber] read")
    writers = _audience(settings.write, groups, claimed, "[subscriber] write")
    listed = writers if isinstance(writers, frozenset) else None
    return Policy(read, roots, listed, settings.metrics_for, groups, claimed)


def _audience(given: config.Readers, groups: Groups, claimed: bool, where: str) -> Audience:
    """Return an audience, with the users of the groups that it names.

    Where groups are ``claimed``, those of an OpenID Connect provider, their names stay in it.
    """
    if not isinstance(given, list):
        return given
    named = [text for text in given if text.startswith(readers.GROUP)]
    found = set(_addresses([text for text in given if text not in named], where))
    for text in named:
        name = text.removeprefix(readers.GROUP)
        if name not in groups and not (claimed and readers.is_group(name)):
            raise ConfigError(f"{where}: there is no group {name!r} in [subscriber.groups]")
        found |= groups.get(name, frozenset())
    return frozenset(found).union(named if claimed else ())


def _addresses(given: list[str], where: str) -> frozenset[Email]:
    try:
        return frozenset(map(Email, given))
    except BadAccount as error:
        raise ConfigError(f"{where}: {error}") from None
