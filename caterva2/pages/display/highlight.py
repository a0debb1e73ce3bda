"""Code with the markup of its syntax."""

from __future__ import annotations

import markupsafe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

_FORMATTER = HtmlFormatter(nowrap=True, classprefix="k-")


def highlighted(code: str, language: str) -> markupsafe.Markup:
    """Return code as HTML: escaped, and with classes for its parts."""
    return marked(code, lexer_of(language))


def marked(code: str, lexer: Lexer) -> markupsafe.Markup:
    """Return code as HTML, by a lexer."""
    return markupsafe.Markup(highlight(code, lexer, _FORMATTER))  # noqa: S704 - it is escaped


def lexer_of(language: str) -> Lexer:
    """Return the lexer of a language; that of plain text for an unknown one."""
    try:
        found: Lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return TextLexer(stripnl=False)
    return found
