"""A module for each reader of bytes of others.

Its ``one`` takes any bytes, and raises only on a fault: what a reader may refuse them with is
caught there. ``corpus`` has seeds under the module's name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

Target = Callable[[bytes], None]
NAMES = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")
)


def target(name: str) -> Target:
    """The function of a target, by the name of its module."""
    one: Target = importlib.import_module(f"{__name__}.{name}").one
    return one
