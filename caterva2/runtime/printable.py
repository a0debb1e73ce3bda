"""Text from outside, made fit for a terminal."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """A text that does nothing to a terminal but to appear there.

    Parameters
    ----------
    text : str
    keep : str
        Characters that may stay though they do not print, such as line ends.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
