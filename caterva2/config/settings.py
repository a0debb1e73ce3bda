"""Settings of the commands, a section each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from caterva2.config import contradictions
from caterva2.config.file import nearest, read
from caterva2.config.limits import SECTION as LIMITS
from caterva2.errors import ConfigError

ORIGIN = r"^(\*|https?://[^\s/@?#,]+)$"
SCHEDULER = r"^$|^(tcp|tls)://[^\s/@?#,]+:[0-9]{1,5}$"
URL = r"^$|^(https?://[^\s@?#]+|unix:/.+)$"
UPSTREAM = r"^$|^https?://[^\s@?#]+$"
SECRET = "CATERVA2_SECRET"  # noqa: S105 - the name of a variable
"""Environment variable that switches accounts on."""
LogFormat = Literal["auto", "text", "journal", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(BaseModel):
    """Base of a section's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    loglevel: LogLevel = "info"


class KeySettings(Settings):
    """Settings of a service that connects to others: see docs/security.md.

    ``key`` is the file of its key pair, in its state directory by default. ``metrics`` is the
    HOST:PORT at which it shows its metrics and its health; see docs/monitoring.md. ``log_format``
    is that of the lines of its log.
    """

    log_format: LogFormat = "auto"

    curve: Literal["off", "auto", "required"] = "auto"
    key: str = ""
    metrics: str = ""


class ListenerSettings(KeySettings):
    """Settings of a service that listens.

    ``allowed`` is the list of those that it admits, in its state directory by default;
    ``insecure`` lets it listen to other machines without keys.
    """

    allowed: str = ""
    insecure: bool = False


class BrokerSettings(ListenerSettings):
    """``[broker]``.

    ``xsub`` and ``xpub`` default to the control port + 3 and + 4. ``publishers`` has the networks
    and names that publishers may have: any without one.
    """

    endpoint: str = "127.0.0.1:8000"
    xsub: str = ""
    xpub: str = ""
    statedir: str = "_caterva2/bro"
    publishers: list[str] = []


class PublisherSettings(ListenerSettings):
    """``[publisher]``, and ``[publisher.ID]`` of one of several.

    ``name`` and ``root`` are the command line's NAME and SOURCE, ``options`` those of the source's
    own: what they mean is for the package to say that serves it. ``read`` says who may read the
    root, as subscribers know them: see docs/accounts.md. ``hdf5`` says whether the datasets
    in HDF5 files of a directory are served, too, or these files only, ``zarr`` whether the arrays
    of Zarr stores in it are served, or their files. ``sign`` says whether what mirrors
    pass on is signed: see docs/mirrors.md.
    """

    broker: str = "127.0.0.1:8000"
    broker_key: str | list[str] = ""
    endpoint: str = "127.0.0.1:8001"
    advertise: str = ""
    watch: Literal["auto", "poll"] = "auto"
    hdf5: Literal["groups", "files"] = "groups"
    zarr: Literal["groups", "files"] = "groups"
    statedir: str = ""
    name: str = ""
    root: str = ""
    read: Literal["public", "users"] | list[str] = "public"
    sign: bool = True
    options: dict[str, str] = {}


Readers = Literal["public", "users"] | list[str]
"""Everybody, everybody who has logged in, or users by their addresses and ``group:NAME``."""
Writers = Literal["users"] | list[str]
"""Everybody who has logged in, or users by their addresses and ``group:NAME``."""


class RootSettings(BaseModel):
    """``[subscriber.roots.NAME]``: who may read one published root."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    read: Readers


class OidcSettings(BaseModel):
    """``[subscriber.oidc]``: an OpenID Connect provider at which users log in.

    Where ``create`` is set, its users get accounts by themselves. ``label`` is its name on pages.
    ``groups_claim`` names the claim that lists the groups of a user, which may need a ``scope``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    issuer: str
    client_id: str
    create: bool = False
    label: str = ""
    scope: Annotated[str, Field(pattern=r"^openid( [!-~]+)*$")] = "openid email"
    groups_claim: str = ""


class MirrorSettings(ListenerSettings):
    """Settings of a subscriber that serves roots again: see docs/mirrors.md.

    ``publish`` has roots and parts of roots, such as ``beam/run42/*``; ``publish_to`` is the broker
    of another site, ``publish_to_key`` its public key, ``publish_endpoint`` where the roots are
    served, with a port of its own each, ``publish_advertise`` the host by which readers reach that.
    ``mirror`` says what is fetched ahead, ``pin`` what is never evicted; with ``follow`` new
    versions of what was cached are fetched. ``allowed`` and ``insecure`` are for these sockets.
    """

    publish: list[str] = []
    publish_to: str = ""
    publish_to_key: str | list[str] = ""
    publish_endpoint: str = "127.0.0.1:0"
    publish_advertise: str = ""
    mirror: Literal["all", "on-demand"] | list[str] = "on-demand"
    pin: list[str] = []
    follow: bool = False


class SubscriberSettings(MirrorSettings):
    """``[subscriber]``, and ``[subscriber.ID]`` of one of several.

    ``http`` is HOST:PORT or the path of a Unix socket, ``quota`` a size such as ``20GB``. ``login``
    is on by default where `SECRET` is set in the environment; ``register`` lets people create
    accounts for themselves, ``maxusers`` bounds their number (0: any). ``read`` says who may read
    published roots, ``[subscriber.publisher_keys]`` has the keys that publishers must have by the
    names of their roots, ``[subscriber.roots.NAME]`` who may read one of them, ``write`` who may
    change special roots, and ``metrics_for`` who may read metrics; ``[subscriber.groups]`` has
    users by names of groups. ``user_quota`` is of each @personal, ``shared_quota`` of @public and
    @shared each. ``cors`` has the origins of pages that may read, such as ``https://lab.example``;
    ``*`` is any. ``dask`` is the scheduler of a Dask cluster that computes large expressions, and
    ``advertise`` the URL at which its workers reach this subscriber, if that is not ``http``.
    ``hosts`` has names by which requests may ask for it, besides this machine's own, ``proxy`` the
    addresses of proxies whose ``X-Forwarded-...`` headers count, ``prefix`` the path below which a
    proxy offers it. ``ssl_certfile`` and
    ``ssl_keyfile`` switch TLS on. ``publishers`` is as a broker's, ``prefer`` has
    publishers and mirrors, the best first. ``access_log`` and ``audit_log`` are ``off``, ``-`` for
    the log, or files. ``workers`` is the number of processes that answer small slices beside the
    subscriber itself; 1 for none. ``upstream`` is the URL of another
    subscriber whose roots are taken, with the token in ``upstream_token_file``;
    ``upstream_ca_file`` has the CAs of its certificate, if not the system's, and
    ``upstream_readers`` may read here what not everybody may read there. ``trust`` says what has to
    be signed by the origins of roots, ``[subscriber.signing_keys]`` has the keys with which some
    of them sign: see docs/mirrors.md.
    """

    broker: str = "127.0.0.1:8000"
    broker_key: str | list[str] = ""
    upstream: Annotated[str, Field(pattern=UPSTREAM)] = ""
    upstream_token_file: str = ""
    upstream_ca_file: str = ""
    upstream_readers: list[str] = []
    http: str = "127.0.0.1:8002"
    statedir: str = "_caterva2/sub"
    publishers: list[str] = []
    prefer: list[str] = []
    quota: str = ""
    login: bool | None = None
    registering: bool = Field(False, alias="register")
    maxusers: int = Field(0, ge=0)
    read: Readers = "public"
    cors: list[Annotated[str, Field(pattern=ORIGIN)]] = []
    dask: Annotated[str, Field(pattern=SCHEDULER)] = ""
    advertise: Annotated[str, Field(pattern=URL)] = ""
    hosts: list[str] = []
    proxy: list[str] = []
    prefix: str = ""
    workers: int = Field(1, ge=1, le=64)
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    publisher_keys: dict[str, str | list[str]] = {}
    trust: Literal["first-use", "signed", "connection"] = "first-use"
    signing_keys: dict[str, str | list[str]] = {}
    roots: dict[str, RootSettings] = {}
    write: Writers = "users"
    metrics_for: Literal["superusers", "public"] = "superusers"
    groups: dict[str, list[str]] = {}
    oidc: OidcSettings | None = None
    access_log: str = "off"
    audit_log: str = "off"
    user_quota: str = "10GB"
    shared_quota: str = ""


class ClientSettings(Settings):
    """``[client]``; neither password nor token appears in the repr."""

    subscriber: str = "http://127.0.0.1:8002"
    username: str = ""
    password: str = Field("", repr=False)
    token: str = Field("", repr=False)


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
    """Return the settings of one command: the command line over the file over the defaults.

    Parameters
    ----------
    kind : type
        One of the classes of `SECTIONS`.
    path : Path, optional
        The file; ``caterva2.toml`` in the current directory, if there is one, by default.
    given : dict, optional
        Values of the command line; None counts as not given.
    ident : str, optional
        Use settings of ``[section.ID]`` over those of ``[section]``.

    Raises
    ------
    ConfigError
        If the file can't be read, has unknown sections or settings, values of another type, or
        such that contradict each other.
    """
    section = next(name for name, known in SECTIONS.items() if known is kind)
    where, file = read(path)
    values = _section(file, section, ident, where)
    values |= {name: value for name, value in (given or {}).items() if value is not None}
    try:
        settings = kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: [{section}] {name}: {first['msg']}") from None
    for contradiction in contradictions.found(settings):
        raise ConfigError(f"{where}: [{section}] {contradiction}")
    return settings


def _section(file: dict[str, Any], section: str, ident: str, where: Path) -> dict[str, Any]:
    """Return the values of one section, after a check of the names in all of them."""
    for name, content in file.items():
        if name == LIMITS:
            continue
        if name not in SECTIONS:
            hint = nearest(name, [*SECTIONS, LIMITS])
            raise ConfigError(f"{where}: unknown section [{name}]{hint}")
        if not isinstance(content, dict):
            raise ConfigError(f"{where}: {name} is a section: write [{name}]")
        for key, value in content.items():
            _check_keys(value if _is_ident(name, key, value) else {key: value}, name, where)
    content = file.get(section, {})
    several = idents(section, content)
    values = {key: value for key, value in content.items() if key not in several}
    if ident in several:
        values |= content[ident]
    return values


def idents(section: str, values: dict[str, Any]) -> list[str]:
    """Return the services of ``[section.ID]`` that the values of a section have."""
    return [key for key, value in values.items() if _is_ident(section, key, value)]


def _is_ident(section: str, key: str, value: object) -> bool:
    """Return whether ``[section.key]`` holds the settings of one of several services."""
    return section in _WITH_IDS and isinstance(value, dict) and key not in _names(section)


def _names(section: str) -> list[str]:
    """Return the settings of a section by the names that the file uses."""
    return [field.alias or name for name, field in SECTIONS[section].model_fields.items()]


def _check_keys(values: dict[str, Any], section: str, where: Path) -> None:
    known = _names(section)
    for key in values:
        if key not in known:
            raise ConfigError(
                f"{where}: unknown setting {key!r} in [{section}]{nearest(key, known)}"
            )
