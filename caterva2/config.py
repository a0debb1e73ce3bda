"""``caterva2.toml``: settings of all parts, frozen, and refused where they make no sense."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from caterva2.errors import ConfigError

FILE = "caterva2.toml"
SECRET = "CATERVA2_SECRET"  # noqa: S105 - the name of a variable
"""The environment's variable that switches accounts on."""
LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(BaseModel):
    """Base of a section's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    loglevel: LogLevel = "info"


class BrokerSettings(Settings):
    """``xsub`` and ``xpub`` default to the control port + 3 and + 4."""

    endpoint: str = "127.0.0.1:8000"
    xsub: str = ""
    xpub: str = ""
    statedir: str = "_caterva2/bro"


class PublisherSettings(Settings):
    """``name`` and ``root`` stand for the command line's NAME and SOURCE."""

    broker: str = "127.0.0.1:8000"
    endpoint: str = "127.0.0.1:8001"
    advertise: str = ""
    statedir: str = ""
    name: str = ""
    root: str = ""


Readers = Literal["public", "users"] | list[str]
"""Everybody, whoever has logged in, or users by their addresses."""


class RootSettings(BaseModel):
    """Who may read one published root."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    read: Readers


class SubscriberSettings(Settings):
    """``http`` is HOST:PORT or the path of a Unix socket; ``quota`` a size such as ``20GB``.

    ``login`` is on by default where `SECRET` is set in the environment; ``register`` lets people
    make accounts for themselves, ``maxusers`` bounds their number (0: any). ``read`` says who may
    read published roots, in ``[subscriber.roots.NAME]`` who may read one of them.
    """

    broker: str = "127.0.0.1:8000"
    http: str = "127.0.0.1:8002"
    statedir: str = "_caterva2/sub"
    quota: str = ""
    login: bool | None = None
    registering: bool = Field(False, alias="register")
    maxusers: int = Field(0, ge=0)
    read: Readers = "public"
    roots: dict[str, RootSettings] = {}


class ClientSettings(Settings):
    """``username`` and ``password`` log in; the password is not shown."""

    subscriber: str = "http://127.0.0.1:8002"
    username: str = ""
    password: str = Field("", repr=False)


_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of a size such as ``500MB`` (powers of 1000) or ``2GiB`` (of 1024); 0 for nothing.

    Raises
    ------
    ConfigError
        If it is not a size.
    """
    if not text.strip():
        return 0
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ConfigError(f"{text!r} is not a size: write 500MB or 2GiB")
    number, unit, binary = match.groups()
    power = " KMGT".index(unit.upper()) if unit else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


S = TypeVar("S", bound=Settings)
SECTIONS: dict[str, type[Settings]] = {
    "broker": BrokerSettings,
    "publisher": PublisherSettings,
    "subscriber": SubscriberSettings,
    "client": ClientSettings,
}
_WITH_IDS = ("publisher", "subscriber")


def load(
    kind: type[S], path: Path | None = None, given: dict[str, Any] | None = None, ident: str = ""
) -> S:
    """Settings of one part: the command line over the file over the defaults.

    Parameters
    ----------
    kind : type
        One of the classes here.
    path : Path, optional
        The file; ``caterva2.toml`` in the current directory, if there is one, by default.
    given : dict, optional
        What the command line gave; None values count as not given.
    ident : str, optional
        Settings of ``[section.ID]`` go over those of ``[section]``.

    Raises
    ------
    ConfigError
        If the file can't be read or holds what is not known.
    """
    section = next(name for name, known in SECTIONS.items() if known is kind)
    where = path or Path(FILE)
    file = _read(where, required=path is not None)
    values = _section(file, section, ident, where)
    values |= {name: value for name, value in (given or {}).items() if value is not None}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: [{section}] {name}: {first['msg']}") from None


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path} does not exist") from None
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from None


def _section(file: dict[str, Any], section: str, ident: str, where: Path) -> dict[str, Any]:
    """The values of one section, after the whole file was found to make sense."""
    for name, content in file.items():
        if name not in SECTIONS:
            raise ConfigError(f"{where}: unknown section [{name}]{_nearest(name, SECTIONS)}")
        if not isinstance(content, dict):
            raise ConfigError(f"{where}: {name} is a section: write [{name}]")
        for key, value in content.items():
            _check_keys(value if _is_ident(name, key, value) else {key: value}, name, where)
    content = file.get(section, {})
    idents = {key for key, value in content.items() if _is_ident(section, key, value)}
    values = {key: value for key, value in content.items() if key not in idents}
    if ident in idents:
        values |= content[ident]
    return values


def _is_ident(section: str, key: str, value: object) -> bool:
    """Whether ``[section.key]`` holds the settings of one of several, not one setting."""
    return section in _WITH_IDS and isinstance(value, dict) and key not in _names(section)


def _names(section: str) -> list[str]:
    """The settings of a section as they are written."""
    return [field.alias or name for name, field in SECTIONS[section].model_fields.items()]


def _check_keys(values: dict[str, Any], section: str, where: Path) -> None:
    known = _names(section)
    for key in values:
        if key not in known:
            raise ConfigError(
                f"{where}: unknown setting {key!r} in [{section}]{_nearest(key, known)}"
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
