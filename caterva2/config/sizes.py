"""Sizes as people write them."""

from __future__ import annotations

import re

from caterva2.errors import ConfigError

_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes of a size; 0 for an empty text.

    Parameters
    ----------
    text : str
        Such as ``500MB`` (powers of 1000) or ``2GiB`` (powers of 1024).

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
