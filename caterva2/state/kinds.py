"""What belongs to a backup of a broker and of a publisher, and of any service."""

from __future__ import annotations

from caterva2.state.backup import Kind

LOCKS = ("lock", "changes.lock", "pause.lock")
"""Files without content, which a service makes where they are missing."""
ROOTS_LOG = "roots.log"
_LISTING = "listing"


def wanted(path: str) -> bool:
    """Return whether a path in a state directory is neither a lock nor temporary, nor damaged."""
    top = path.partition("/")[0]
    return top not in LOCKS and not top.startswith(".") and not top.endswith(".bad")


def _wanted_of_publisher(path: str) -> bool:
    return wanted(path) and path != _LISTING  # it is made anew, and means nothing elsewhere


BROKER = Kind("cat2bro", wanted, logs=(ROOTS_LOG,))
PUBLISHER = Kind("cat2pub", _wanted_of_publisher)
