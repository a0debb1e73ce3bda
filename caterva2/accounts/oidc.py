"""Options of logins at an OpenID Connect provider."""

from __future__ import annotations

import importlib.util
import logging
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from caterva2.accounts.readers import is_group
from caterva2.config.settings import OidcSettings
from caterva2.errors import ConfigError
from caterva2.limits import constants

log = logging.getLogger(__name__)

SECRET = "CATERVA2_OIDC_SECRET"  # noqa: S105 - the name of a variable
"""The secret by which the provider knows this client; empty for a public client."""


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """A provider, whether its users get accounts by themselves, and the claim of their groups."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    create: bool
    label: str
    scope: str = "openid email"
    groups_claim: str = ""


def options(given: OidcSettings | None) -> OidcOptions | None:
    """Return the options for these settings.

    Raises
    ------
    ConfigError
        If the issuer is not reached by HTTPS, or the packages for it are missing.
    """
    if given is None:
        return None
    parts = urllib.parse.urlsplit(given.issuer)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or (parts.scheme != "https" and not (local and parts.scheme == "http")):
        raise ConfigError("[subscriber.oidc] issuer: write https://HOST")
    if any(importlib.util.find_spec(name) is None for name in ("authlib", "httpx", "itsdangerous")):
        raise ConfigError("[subscriber.oidc] needs packages: pip install 'caterva2[oidc]'")
    secret = os.environ.get(SECRET, "")
    label = given.label or parts.hostname
    asked = given.scope, given.groups_claim
    return OidcOptions(given.issuer, given.client_id, secret, given.create, label, *asked)


def groups(claims: Mapping[str, object], name: str) -> frozenset[str]:
    """Return the groups that a claim of an ID token names, in a list or alone.

    Groups only add rights, so what is no name of one is left out, and so are those that are too
    many.
    """
    given = claims.get(name, []) if name else []
    listed = given if isinstance(given, list) else [given]
    found = [group for group in listed[: constants.USER_GROUPS] if is_group(group)]
    if len(found) < len(listed):
        unused = len(listed) - len(found)
        log.warning("%d groups in the claim %r of a login are not used", unused, name)
    return frozenset(found)
