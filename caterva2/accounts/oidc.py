"""Options of logins at an OpenID Connect provider."""

from __future__ import annotations

import importlib.util
import os
import urllib.parse
from dataclasses import dataclass, field

from caterva2.config.settings import OidcSettings
from caterva2.errors import ConfigError

SECRET = "CATERVA2_OIDC_SECRET"  # noqa: S105 - the name of a variable
"""The secret by which the provider knows this client; empty for a public client."""


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """A provider, and whether its users get accounts by themselves."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    create: bool
    label: str


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
    return OidcOptions(given.issuer, given.client_id, secret, given.create, label)
