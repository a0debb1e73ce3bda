"""Numbers and times as people read them."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from datetime import UTC, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size(nbytes: float) -> str:
    """Format a number of bytes with three figures, in powers of 1000."""
    value = float(nbytes)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.3g} {unit}"


def count(number: int) -> str:
    """Format a number with narrow spaces between the thousands."""
    return f"{number:,}".replace(",", "\u202f")


def many(number: int, one: str, more: str = "") -> str:
    """Format a number with the noun that it counts."""
    return f"{count(number)} {one if number == 1 else more or one + 's'}"


def percent(part: float, whole: float) -> str:
    """Format a share: only the whole is 100 %, and only nothing is 0 %."""
    if whole <= 0 or part >= whole:
        return "100 %"
    shown = 100 * part / whole
    return "0 %" if part <= 0 else f"{min(max(shown, 1), 99):.0f} %"


def ratio(plain: int, stored: int) -> str:
    """Format how many times smaller the stored bytes are; empty if they are not."""
    return f"{plain / stored:.3g}" if 0 < stored < plain else ""


def shape(sizes: Iterable[int]) -> str:
    """Format a shape with a times sign; that of a single item has no axes."""
    return " × ".join(map(count, sizes)) or "one item"


def time(seconds: float) -> str:
    """Format seconds since 1970 as date and time in UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "unknown"


def day(seconds: float) -> str:
    """Format seconds since 1970 as a date."""
    return time(seconds)[:10] if seconds else ""


def path(*parts: str) -> str:
    """Return a path on this site, of parts that may hold slashes and any other character."""
    quoted = (urllib.parse.quote(part, safe="/@+-_.~") for part in parts)
    return "/" + "/".join(part.strip("/") for part in quoted if part)


def query(**given: object) -> str:
    """Return a query string of what is neither empty nor None, with its question mark.

    It is escaped as scripts escape it, so that both name one answer by one address.
    """
    kept = [(name, str(value)) for name, value in given.items() if value not in ("", None)]
    return "?" + urllib.parse.urlencode(kept, safe="*").replace("~", "%7E") if kept else ""
