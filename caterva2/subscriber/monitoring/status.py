"""The status of a subscriber for one user, and what is to be done about it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from caterva2.cache.quota import Quota
from caterva2.model import RootStatus, Way
from caterva2.names import RootName
from caterva2.rest import service as rest
from caterva2.rest.catalogue import Way as WayShown
from caterva2.runtime.monitoring.faults import Fault
from caterva2.runtime.printable import printable
from caterva2.subscriber.publishers import way
from caterva2.subscriber.remote_root import RemoteRoot

REMEDIES: dict[str, str] = {
    "broker-away": "look at the broker's machine, its ports, and whether both sides use keys",
    "root-offline": "start its publisher, or look at the network between",
    "broken-file": "repair or remove the file at its publisher, or install there what it needs",
    "cache-full": "make room on the disk, or raise quota",
    "damaged-transfer": "look at memory and network of both machines",
    "disk-full": "make room on the disk",
    "not-signed": "compare signing_keys with the origin's: cat2keys show --signing STATEDIR"
    "; if they agree, a mirror on the way alters data: the log names it",
    "origin-away": "start its publisher, or look at the network between it and the mirrors",
    "publisher-away": "look at its publisher, and at the firewall between",
    "refused": "if they are right, raise the limit that is named",
    "slow-disk": "look at the disk and at what else writes to it: iostat -x 1",
    "upstream-away": "look at the upstream, at the network between, and at the token",
    "slow-link": "look at the network, and at the load of the publisher",
}


def time_text(seconds: float) -> str:
    """Return seconds since 1970 as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def root(status: RootStatus, opened: RemoteRoot | None) -> rest.RootStatus:
    """Return the status of a root, which may not have been opened."""
    traffic = opened.traffic if opened else None
    return {
        "name": status.name, "state": "offline" if status.offline else "up",
        "followed": status.subscribed, "publisher": printable(status.http),
        "lease": status.lease, "fence": status.fence,
        "revision": opened.revision if opened else -1,
        "heard": time_text(opened.heard) if opened and opened.heard else None,
        "requests": opened.fetcher.calls if opened else 0,
        "cache_reads": traffic.hits if traffic else 0,
        "publisher_reads": traffic.misses if traffic else 0,
        "way": _way(status.way) if status.way else None,
        "providers": list(_providers(opened)) if opened else [],
    }  # fmt: skip


def _way(found: Way) -> WayShown:
    as_of = None if found.as_of is None else time_text(found.as_of)
    return {
        "origin": found.origin, "hops": len(found.path), "path": list(found.path),
        "via": printable(found.via), "as_of": as_of,
    }  # fmt: skip


def _providers(opened: RemoteRoot) -> Iterator[rest.Provider]:
    for one in way.standings(opened.providers):
        yield {
            "name": one.name, "place": printable(one.place), "hops": one.hops, "state": one.state,
            "round_trip": None if one.trip is None else round(one.trip, 6),
        }  # fmt: skip


def cache(quota: Quota) -> rest.CacheStatus:
    """Return the status of the cache."""
    return {"bytes": quota.used, "quota": quota.max_bytes or None, "evicted": quota.evicted}


def problems(
    broker: rest.BrokerStatus,
    roots: Iterable[rest.RootStatus],
    faults: Iterable[Fault],
    sees: Callable[[str], bool],
) -> list[rest.Problem]:
    """Return what is wrong, states first.

    Parameters
    ----------
    broker : BrokerStatus
    roots : iterable of RootStatus
    faults : iterable of Fault
        Recent ones.
    sees : callable
        Tells whether faults of a root, or of none, may be seen.
    """
    found = []
    if broker["state"] == "away":
        heard = "" if broker["silent"] is None else f" for {broker['silent']:.0f} s"
        found.append(_state("broker-away", f"the broker is not heard{heard}"))
    for one in roots:
        if one["state"] == "offline" and one["followed"]:
            text = f"root {one['name']} has no publisher that answers"
            found.append(_state("root-offline", text, one["name"]))
        elif one["followed"] and one["way"] and one["way"]["origin"] == "away":
            text = f"root {one['name']} is served by mirrors, without its publisher"
            found.append(_state("origin-away", text, one["name"]))
    return found + [_fault(fault) for fault in faults if sees(fault.root)]


def _state(name: str, text: str, root: str = "") -> rest.Problem:
    return {
        "problem": name, "root": root, "text": text, "todo": REMEDIES[name], "count": 1, "at": None
    }  # fmt: skip


def _fault(fault: Fault) -> rest.Problem:
    return {
        "problem": fault.kind, "root": fault.root, "text": printable(fault.text),
        "todo": REMEDIES[fault.kind], "count": fault.count, "at": time_text(fault.at),
    }  # fmt: skip


def readable(
    statuses: Iterable[RootStatus],
    opened: Mapping[RootName, RemoteRoot],
    may_read: Callable[[RootName], bool],
) -> list[rest.RootStatus]:
    """Return the roots that may be read."""
    return [root(one, opened.get(one.name)) for one in statuses if may_read(one.name)]
