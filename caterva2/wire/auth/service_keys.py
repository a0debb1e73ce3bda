"""What a service's settings about keys amount to: whom it admits, and how it protects its links."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from caterva2.config import KeySettings
from caterva2.errors import ConfigError, StartError
from caterva2.limits import constants
from caterva2.wire.auth import keys, list_file
from caterva2.wire.auth.connections import Connections
from caterva2.wire.auth.curve import PLAIN, Curve, Links, OneOfKeys
from caterva2.wire.auth.list_file import FollowedList
from caterva2.wire.auth.policy import ADMIT_ALL, AtSocket, Authenticator, Grant
from caterva2.wire.auth.zap import ZapHandler
from caterva2.wire.sockets import Address, Context, LoopSocket

log = logging.getLogger(__name__)
Mode = Literal["off", "auto", "required"]
Admits = Callable[[str, Grant], bool]


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """Where the keys of a service are, and whether they are used.

    With ``auto`` they are where there is a list of those that are admitted, or where ``allowed``
    or ``broker_key`` is given.
    Without ``key`` and ``allowed`` these files are in the state directory. ``insecure`` lets a
    service without keys listen to other machines.
    """

    curve: Mode = "auto"
    key: Path | None = None
    allowed: Path | None = None
    broker_key: str | Sequence[str] = ""
    insecure: bool = False

    @classmethod
    def of(cls, settings: KeySettings) -> Self:
        """Return what the settings of a service say."""
        allowed = getattr(settings, "allowed", "")
        return cls(
            curve=settings.curve,
            key=Path(settings.key) if settings.key else None,
            allowed=Path(allowed) if allowed else None,
            broker_key=getattr(settings, "broker_key", ""),
            insecure=getattr(settings, "insecure", False),
        )


def counts(socket: LoopSocket, at: Authenticator) -> bool:
    """Return whether the message that is being handled counts; if not, its connection ends.

    One that was silent when its key was revoked is not known before.
    """
    admitted = _may_use(at, socket.key)
    if not admitted:
        socket.end_sender()
    return admitted


def _may_use(at: Authenticator, key: str) -> bool:
    return at.grant(key) is not None


def _everywhere(_domain: str, _grant: Grant) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Admission:
    """The keys of a service that listens.

    ``list`` is None where everybody is admitted; ``admits`` says whether rights are enough for the
    socket of a domain.
    """

    links: Links = PLAIN
    list: FollowedList | None = None
    admits: Admits = _everywhere

    @property
    def authenticator(self) -> Authenticator:
        """Who knows the rights of peers."""
        return self.list or ADMIT_ALL

    def at(self, domain: str) -> Authenticator:
        """Return who knows the rights of peers at the socket of a domain."""
        if self.list is None:
            return ADMIT_ALL
        return AtSocket(self.list, functools.partial(self.admits, domain))

    def keys_of(self, holder: str) -> Sequence[str]:
        """Return the keys that are admitted under a name."""
        return self.list.keys_of(holder) if self.list is not None else ()

    @contextlib.contextmanager
    def handling(self, context: Context) -> Iterator[None]:
        """Answer ZeroMQ's questions about new connections; to be entered before sockets bind."""
        if self.list is None:
            yield
            return
        with contextlib.closing(ZapHandler(context, self.list, self.admits)):
            yield

    async def follow(self, on_change: Callable[[], None]) -> None:
        """Read the list again whenever it changes, and say so, until cancelled."""
        if self.list is not None:
            await self.list.follow(on_change)

    def end_revoked(self, sockets: Mapping[str, Connections]) -> None:
        """End the connections to the sockets of domains whose keys are not admitted any more."""
        for domain, connections in sockets.items():
            admitted = functools.partial(_may_use, self.at(domain))
            for key in connections.end_unless(admitted):
                log.warning("ended a connection to the %s socket: key %s is revoked", domain, key)


OPEN = Admission()


def admission(options: KeyOptions, statedir: Path, admits: Admits = _everywhere) -> Admission:
    """Return the keys of a service that listens; its own are made at the first start. Blocks.

    Parameters
    ----------
    options : KeyOptions
    statedir : Path
        Locked already.
    admits : callable, optional
        See `Admission`.

    Raises
    ------
    StartError, ConfigError
        If a file can't be used, or is needed and not there.
    """
    allowed = options.allowed or statedir / list_file.FILE
    if options.curve == "off":
        return OPEN
    pair = keys.read_or_make(options.key or statedir / keys.FILE)
    # A list that was named, or a link to one, and is not there is an error: nothing opens by that.
    keyed = options.allowed or options.broker_key or os.path.lexists(allowed)
    if options.curve == "auto" and not keyed:
        return OPEN
    return Admission(Curve(pair), FollowedList(allowed), admits)


def link_to_broker(options: KeyOptions, links: Links) -> OneOfKeys:
    """Return what prepares sockets that connect to the broker.

    Raises
    ------
    ConfigError
        If its key is needed and missing, or is no key, or there are too many.
    """
    if options.broker_key and options.curve != "off":
        given = options.broker_key
        found = [keys.checked(key) for key in ([given] if isinstance(given, str) else given)]
        if len(set(found)) > constants.BROKER_KEYS:
            raise ConfigError(f"broker_key: {len(found)} keys are more than BROKER_KEYS")
        return OneOfKeys(links, tuple(dict.fromkeys(found)))
    if links is not PLAIN:
        raise ConfigError(
            "broker_key is missing: where keys are used, that of the broker has to be known;"
            " cat2keys show STATEDIR prints it there"
        )
    return OneOfKeys(links, [""])


def links_of_reader(options: KeyOptions, statedir: Path) -> Links:
    """Return how a service that only connects protects its links. Blocks.

    Raises
    ------
    StartError
        If its key can't be used.
    """
    if options.curve == "off":
        return PLAIN
    pair = keys.read_or_make(options.key or statedir / keys.FILE)
    return Curve(pair) if options.broker_key or options.curve == "required" else PLAIN


def refuse_open(what: str, bound: Address, links: Links, options: KeyOptions) -> None:
    """Raise `StartError` if a service without keys would listen to other machines."""
    if links is not PLAIN or options.insecure or bound.is_loopback:
        return
    raise StartError(
        f"{what} at {bound} would be open to everybody who reaches it, as no keys are used: admit"
        " keys with cat2keys allow STATEDIR ..., or start with --insecure on a trusted network"
    )
