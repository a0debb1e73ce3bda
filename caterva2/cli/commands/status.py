"""``cat2cli status``: how a subscriber is, on one screen."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from caterva2.cli.terminal import output
from caterva2.cli.terminal.output import Output
from caterva2.client.client import Client

_SHOWN = 12
"""Roots, and problems, that fit on a screen; those with problems come first."""


def status(client: Client, _: Namespace) -> Output:
    """Show how the subscriber is; the exit code is 1 if something is wrong."""
    found = client.status()
    return Output(
        found,
        lambda: output.lines(_lines(client.transport.url("").rstrip("/"), found)),
        int(not found["well"]),
    )


def _lines(url: str, found: dict[str, Any]) -> Iterator[str]:
    yield f"caterva2 {found['version']} at {url}, since {found['started']}"
    broker = found["broker"]
    silent = "" if broker["silent"] is None else f", heard {broker['silent']:.1f} s ago"
    yield f"broker    {broker['state']}{silent}"
    yield from _cache(found)
    if workers := found.get("workers"):  # an older subscriber has none
        many = f"{workers['running']} of {workers['wanted']}, {workers['connections']} connections"
        yield f"workers   {many}, {workers['restarts']} restarts"
    roots = sorted(found["roots"], key=lambda one: (one["state"] == "up", one["name"]))
    down = sum(one["state"] == "offline" for one in roots)
    yield f"roots     {len(roots)}, {down} offline" if down else f"roots     {len(roots)}"
    yield from map(_root, roots[:_SHOWN])
    if len(roots) > _SHOWN:
        yield f"  and {len(roots) - _SHOWN} more: cat2cli status --json"
    problems = found["problems"]
    yield f"problems  {len(problems)}" if problems else "all is well"
    for one in problems[:_SHOWN]:
        often = f" ({one['count']} times, last {one['at']})" if one["at"] else ""
        yield f"  {one['problem']}: {one['text']}{often}"
        yield f"      {one['todo']}"


def _cache(found: dict[str, Any]) -> Iterator[str]:
    cached = sum(one["cache_reads"] for one in found["roots"])
    reads = cached + sum(one["publisher_reads"] for one in found["roots"])
    share = f", {cached / reads:.0%} of {reads} reads" if reads else ""
    cache = found["cache"]
    if cache is None:
        if reads:
            yield f"cache     {share.removeprefix(', ')}"
        return
    of = f" of {_size(cache['quota'])}" if cache["quota"] else ""
    yield f"cache     {_size(cache['bytes'])}{of}{share}, {_size(cache['evicted'])} evicted"
    queues = ", ".join(f"{name} {length}" for name, length in found["queues"].items())
    yield f"queues    {queues}"


def _root(one: dict[str, Any]) -> str:
    followed = "followed" if one["followed"] else "not followed"
    where = f" at {one['publisher']}" if one["publisher"] else ""
    heard = f", heard {one['heard']}" if one["heard"] else ""
    revision = f", revision {one['revision']}" if one["revision"] >= 0 else ""
    way = _way(one)
    under_way = f", {one['requests']} requests" if one["requests"] else ""
    lease = f", lease {one['lease']:g} s, fence {one['fence']}" if one["lease"] else ""
    return (
        f"  {one['state']:8}{one['name']}{where}{lease}, {followed}{revision}{heard}{way}"
        f"{under_way}"
    )


def _way(one: dict[str, Any]) -> str:
    """Tell by which mirrors a root comes, and as of when if its publisher is away."""
    found = one.get("way")
    if not found or not found["hops"]:
        return ""
    text = f", by {' > '.join(found['path'])} at {found['via']}"
    if found["origin"] == "away":
        text += f", its publisher is away, as of {found['as_of'] or 'an unknown time'}"
    return text


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
