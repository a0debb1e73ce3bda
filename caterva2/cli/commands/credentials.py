"""Who uses ``cat2cli``: the command line over the settings over the environment."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from caterva2 import config
from caterva2.cli.terminal import passwords
from caterva2.client.tokens import TOKEN
from caterva2.client.types import Auth
from caterva2.config import ClientSettings
from caterva2.errors import ConfigError

USERNAME, PASSWORD = "CATERVA2_USERNAME", "CATERVA2_PASSWORD"


def chosen(options: Namespace, settings: ClientSettings) -> Auth | None:
    """Return name and password, or None without a user.

    A password belongs to the user that is named in the same place, or to any if none is. If there
    is none, it is read from the terminal.

    Raises
    ------
    ConfigError
        If there is a password without a user, or a user without a password and no terminal.
    """
    sources = (
        (options.username, options.password),
        (settings.username, settings.password),
        (os.environ.get(USERNAME), os.environ.get(PASSWORD)),
    )
    if not options.username and not settings.username and (settings.token or TOKEN in os.environ):
        return None  # the token is nearer than the user of the environment
    user = next((name for name, _ in sources if name), None)
    if user is None:
        if any(password for _, password in sources):
            raise ConfigError("there is a password, but no user name")
        return None
    for name, password in sources:
        if password and name in (None, "", user):
            return user, password
    if not sys.stdin.isatty():
        raise ConfigError(f"no password for {user}: set {PASSWORD}, or [client] password")
    return user, passwords.known(f"Password of {user}: ")


def token(options: Namespace, settings: ClientSettings) -> str | None:
    """Return the token to use; None where the command line or a nearer place names a user."""
    if options.username or options.password or settings.username:
        return None
    return settings.token or os.environ.get(TOKEN) or None


def exposed(path: Path | None, settings: ClientSettings) -> str:
    """Return a warning if the settings contain a secret that other users may read."""
    where = path or Path(config.FILE)
    secret = "password" if settings.password else "token" if settings.token else ""
    if not secret or not where.exists() or not where.stat().st_mode & 0o077:
        return ""
    return f"{where} contains a {secret} that others may read: chmod 600 {where}"
