"""Fences: the numbers of the grants of a root's name. Pure."""

from __future__ import annotations

from caterva2.errors import BadMessage
from caterva2.limits.constants import FENCE, FENCE_LEAP
from caterva2.names import RootName


def highest(known: int, remembered: int) -> int:
    """Return the higher of a known fence and one that a publisher remembers.

    No publisher can have been granted one so much higher that it leaps: such a claim would use
    up the fences of a name, and is ignored.
    """
    return known if remembered > known + FENCE_LEAP else max(known, remembered)


def following(root: RootName, fence: int) -> int:
    """Return the fence of the next grant of a root.

    Raises
    ------
    BadMessage
        If there is none.
    """
    if fence >= FENCE - 1:
        raise BadMessage(
            f"fence {fence} is too large: no higher one can be granted, until the operator of the"
            f" broker runs cat2bro --forget {root}"
        )
    return fence + 1
