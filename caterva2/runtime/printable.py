"""Escaping of untrusted text for a terminal."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Return a text with its control characters escaped.

    Parameters
    ----------
    text : str
    keep : str
        Control characters to leave as they are, such as line ends.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
