"""What a worker has to know of its core, as data that goes from process to process."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from caterva2.limits import DEFAULTS, Limits
from caterva2.web.server.hosts import AnyHost, Hosts
from caterva2.web.server.options import HttpOptions
from caterva2.web.server.prefix import Prefix
from caterva2.workers.connection import Manner


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker answers."""

    manner: Manner
    limits: Limits
    recorded: bool
    accounts: bool


def described(
    options: HttpOptions, limits: Limits, *, recorded: bool, accounts: bool
) -> dict[str, Any]:
    """Return what `restored` makes settings of."""
    hosts = options.hosts
    return {
        "web": asdict(limits.web), "cache": asdict(limits.cache), "recorded": recorded,
        "accounts": accounts, "prefix": options.prefix.text,
        "hosts": hosts.given if isinstance(hosts, Hosts) else None,
    }  # fmt: skip


def restored(given: dict[str, Any]) -> WorkerSettings:
    """Return the settings that were described."""
    web = replace(DEFAULTS.web, **given["web"])
    limits = replace(DEFAULTS, web=web, cache=replace(DEFAULTS.cache, **given["cache"]))
    hosts = Hosts(*given["hosts"]) if given["hosts"] is not None else AnyHost()
    manner = Manner(web, hosts, Prefix(given["prefix"]))
    return WorkerSettings(manner, limits, given["recorded"], given["accounts"])
