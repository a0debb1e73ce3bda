"""``[limits.GROUP]``: limits of a running service, over the defaults of `caterva2.limits`."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

from caterva2.config.file import nearest, read
from caterva2.config.sizes import parse_size
from caterva2.errors import ConfigError
from caterva2.limits import COUNTS, DEFAULTS, SECONDS, Limits, Range

SECTION = "limits"
GROUPS = tuple(field.name for field in dataclasses.fields(Limits))

ORDERED = (
    "wire.first_byte <= wire.request_deadline",
    "broker.beat < broker.lease_ttl",
    "publisher.peer_bytes <= publisher.all_bytes",
    "publisher.reply_bytes <= publisher.peer_bytes",
    "publisher.peer_jobs <= publisher.all_jobs",
    "subscriber.readahead_least <= subscriber.readahead_bytes",
    "cache.quota_low <= cache.quota_high",
    "web.small_output <= web.small_outputs_bytes",
    "web.small_output <= web.outputs_bytes",
    "web.output_bytes <= web.outputs_bytes",
    "web.output_bytes <= web.computed_outputs_bytes",
    "web.form_bytes <= web.body_bytes",
    "web.address_connections <= web.connections",
    "compute.user_computations <= compute.computations",
    "compute.computed_frame <= compute.computed_bytes",
    "compute.compute_staged <= compute.computed_kept",
    "accounts.logins <= accounts.logins_anywhere",
    "client.piece <= client.window",
    "client.pause <= client.patience",
)
"""Pairs of limits of which one would make the other senseless."""
_COMPARE = {"<": operator.lt, "<=": operator.le}


def load_limits(path: Path | None = None) -> Limits:
    """Return the limits of the configuration file, defaults where it has none.

    Parameters
    ----------
    path : Path, optional
        The file; ``caterva2.toml`` in the current directory, if there is one, by default.

    Raises
    ------
    ConfigError
        If the file can't be read, or has limits that are unknown or make no sense.
    """
    where, content = read(path)
    section = content.get(SECTION, {})
    if not isinstance(section, dict):
        raise ConfigError(f"{where}: {SECTION} is a section: write [{SECTION}.GROUP]")
    groups = {}
    for name, values in section.items():
        if name not in GROUPS:
            raise ConfigError(f"{where}: {_unknown_group(name)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: {name} is a group: write [{SECTION}.{name}]")
        groups[name] = _group(name, values, where)
    limits = dataclasses.replace(DEFAULTS, **groups)
    _check_order(limits, where)
    return limits


def ranges(group: str) -> dict[str, Range]:
    """Return the values that make sense for each limit of a group."""
    hints = get_type_hints(type(getattr(DEFAULTS, group)), include_extras=True)
    return {name: _range(hint) for name, hint in hints.items()}


def _range(hint: Any) -> Range:
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Range):
            return extra
    return SECONDS if hint is float else COUNTS


def _group(name: str, values: dict[str, Any], where: Path) -> Any:
    defaults = getattr(DEFAULTS, name)
    known = ranges(name)
    given = {}
    for key, value in values.items():
        if key not in known:
            hint = _elsewhere(key) or nearest(key, known)
            raise ConfigError(f"{where}: unknown limit {key!r} in [{SECTION}.{name}]{hint}")
        try:
            given[key] = _value(
                value, known[key], seconds=isinstance(getattr(defaults, key), float)
            )
        except ValueError as error:
            shown = repr(value)[:40]
            raise ConfigError(f"{where}: [{SECTION}.{name}] {key} = {shown}: {error}") from None
    return dataclasses.replace(defaults, **given)


def _value(value: object, allowed: Range, *, seconds: bool) -> int | float:
    """Return a number that was written for a limit.

    Raises
    ------
    ValueError
        If it has another type or makes no sense.
    """
    if allowed.size and isinstance(value, str) and value.strip():
        try:
            value = parse_size(value)
        except ConfigError as error:
            raise ValueError(error.detail) from None
    if isinstance(value, bool) or not isinstance(value, (int, float) if seconds else int):
        kind = "a time in seconds" if seconds else "a whole number"
        raise ValueError(f"it has to be {kind}{' or a size such as 256MB' * allowed.size}")
    if not allowed.least <= value <= allowed.most:
        raise ValueError(f"it has to be from {allowed.least:,} to {allowed.most:,}")
    return float(value) if seconds else value


def _unknown_group(name: str) -> str:
    return f"unknown group [{SECTION}.{name}]{_elsewhere(name) or nearest(name, GROUPS)}"


def _elsewhere(key: str) -> str:
    """Return the end of a message about a limit that stands in another group."""
    groups = [group for group in GROUPS if key in ranges(group)]
    return f"; it belongs to [{SECTION}.{groups[0]}]" if groups else ""


def _check_order(limits: Limits, where: Path) -> None:
    for rule, lesser, greater, holds in _ordered(limits):
        if not holds:
            raise ConfigError(
                f"{where}: [{SECTION}] {rule} has to hold, they are {lesser:,} and {greater:,}"
            )


def _ordered(limits: Limits) -> Iterator[tuple[str, float, float, bool]]:
    for rule in ORDERED:
        first, comparison, second = rule.split()
        lesser, greater = (operator.attrgetter(name)(limits) for name in (first, second))
        yield rule, lesser, greater, _COMPARE[comparison](lesser, greater)
