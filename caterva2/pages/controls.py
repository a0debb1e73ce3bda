"""Bidirectional controls in text of others: they would change the order in which a page is read.

With U+202E behind its first letter a file ``agnp.exe`` would look like ``aexe.png``. What a browser
sends back, and leads to, has to stay as it is: attributes, and the content of text areas.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_PARTS = re.compile(rf"<textarea\b.*?</textarea>|<[^>]*>|{_CONTROLS.pattern}", re.DOTALL)


def visible(text: str) -> str:
    """Return a text with its controls as the escapes of Python and JSON."""
    return _CONTROLS.sub(_escaped, text)


def visible_in(page: str) -> str:
    """Return a page of HTML with the controls in its text, and not in its tags, as escapes."""
    return _PARTS.sub(_escaped, page) if _CONTROLS.search(page) else page


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith("<") else f"\\u{ord(found[0]):04x}"
