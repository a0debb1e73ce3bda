"""The settings file: whether it is valid, and no address or directory is used twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caterva2 import config
from caterva2.cli.doctor.finding import Finding
from caterva2.config import SECRET, Settings, file, parse_size
from caterva2.errors import CatervaError, ConfigError


@dataclass(frozen=True, slots=True)
class Configured:
    """A service or client as the settings file has it.

    Parameters
    ----------
    section, ident : str
        Of ``[section.ident]``.
    settings : Settings
    given : bool
        Whether the file has the section.
    """

    section: str
    ident: str
    settings: Settings
    given: bool

    @property
    def title(self) -> str:
        """Its section, as people write it."""
        return f"[{self.section}.{self.ident}]" if self.ident else f"[{self.section}]"

    @property
    def is_service(self) -> bool:
        """Whether it is no client."""
        return self.section != "client"

    @property
    def statedir(self) -> Path:
        """The directory of its state."""
        given: str = getattr(self.settings, "statedir", "")
        return Path(given or f"_caterva2/pub.{getattr(self.settings, 'name', '')}")


def load(path: Path | None) -> tuple[list[Configured], list[Finding]]:
    """Return all that a settings file configures, and what is wrong with it."""
    try:
        where, content = file.read(path)
        config.load_limits(path)
        found = [each for section in config.SECTIONS for each in _section(section, content, path)]
    except ConfigError as error:
        return [], [Finding("wrong", "settings", str(error), "correct it")]
    if not content:
        return found, [Finding("ok", "settings", f"no {where}: the defaults hold")]
    return found, [*_sizes(found), *_clashes(found), *_secrets(found, where)] or [
        Finding("ok", "settings", f"{where} is valid")
    ]


def _section(section: str, content: dict[str, Any], path: Path | None) -> Iterator[Configured]:
    kind = config.SECTIONS[section]
    values = content.get(section)
    idents = config.idents(section, values or {})
    for ident in idents or [""]:
        settings = config.load(kind, path, ident=ident)
        yield Configured(section, ident, settings, values is not None)


def _sizes(found: list[Configured]) -> Iterator[Finding]:
    for each in found:
        for name in ("quota", "user_quota", "shared_quota"):
            try:
                parse_size(getattr(each.settings, name, ""))
            except CatervaError as error:
                yield Finding("wrong", f"{each.title} {name}", str(error), "correct it")


def _clashes(found: list[Configured]) -> Iterator[Finding]:
    """Yield addresses and state directories that two services would share."""
    owners: dict[tuple[str, str], str] = {}
    for each in found:
        if not each.is_service or not each.given:
            continue
        settings = each.settings
        address = getattr(settings, "http", "") or getattr(settings, "endpoint", "")
        for name, value in (("address", address), ("statedir", str(each.statedir))):
            owner = owners.setdefault((name, value), each.title)
            if owner != each.title and not value.endswith(":0"):
                text = f"{owner} and {each.title} both have the {name} {value}"
                yield Finding("wrong", "settings", text, "give each its own")


def _secrets(found: list[Configured], where: Path) -> Iterator[Finding]:
    for each in found:
        settings = each.settings
        secret = getattr(settings, "password", "") or getattr(settings, "token", "")
        if secret and where.stat().st_mode & 0o077:
            yield Finding("wrong", "settings", "others may read the secret in it",
                              f"chmod 600 {where}")  # fmt: skip
        if getattr(settings, "login", None) and not os.environ.get(SECRET):
            yield Finding("wrong", f"{each.title} login", f"{SECRET} is not set",
                          "set it where cat2sub is started: docs/accounts.md")  # fmt: skip
