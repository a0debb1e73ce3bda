"""Parameters of a query: each given once, of a type, within bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

from starlette.requests import Request

from caterva2.errors import BadRequest


def once(request: Request) -> dict[str, str]:
    """Return the parameters of a request; `BadRequest` for one that is given twice."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise BadRequest(f"query parameter {name[:80]!r} is given twice")
        given[name] = value
    return given


def choice(given: Mapping[str, str], name: str, allowed: Collection[str], default: str) -> str:
    """Return a parameter that is one of a few texts."""
    value = given.get(name, default)
    if value not in allowed:
        names = ", ".join(one or "nothing" for one in allowed)
        raise BadRequest(f"{name}={value[:40]!r} is none of: {names}")
    return value


def integer(
    given: Mapping[str, str], name: str, default: int, least: int, most: int, limit: str
) -> int:
    """Return a parameter that is an integer; ``limit`` is the name of its upper bound."""
    value = given.get(name)
    if value is None:
        return min(default, most)
    if not re.fullmatch(r"-?[0-9]{1,19}", value) or int(value) < least:
        raise BadRequest(f"{name}={value[:40]!r} is not an integer from {least}")
    if int(value) > most:
        raise BadRequest(f"{name}={value} is too large, {limit} is {most}")
    return int(value)


def number(given: Mapping[str, str], name: str) -> float | None:
    """Return a parameter that is a finite number; None without it."""
    value = given.get(name)
    if value is None:
        return None
    plain = re.fullmatch(
        r"[-+]?([0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})([eE][-+]?[0-9]{1,4})?", value
    )
    if not plain or not math.isfinite(float(value)):
        raise BadRequest(f"{name}={value[:40]!r} is not a finite number")
    return float(value)
