"""Code with the markup of its syntax."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import markupsafe
import pygments
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

_T = TypeVar("_T")
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="k-")
SECONDS = 2.0
"""For the markup of a file: texts can be made so that parsers take very long for them."""


class TooSlow(Exception):
    """Markup takes longer than it may."""


class Deadline:
    """A bound for the markup of a text, in processor time of the thread that makes both.

    So a text is not shown without markup because others keep the machine busy.

    Parameters
    ----------
    seconds : float
        From now on.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._until = time.thread_time() + seconds

    def check(self) -> None:
        """Raise `TooSlow` if the time is over."""
        if time.thread_time() >= self._until:
            raise TooSlow

    def each(self, tokens: Iterable[_T]) -> Iterator[_T]:
        """Check before each of some tokens that are made one by one."""
        for token in tokens:
            self.check()
            yield token


def highlighted(code: str, language: str, deadline: Deadline | None = None) -> markupsafe.Markup:
    """Return code as HTML: escaped, and with classes for its parts."""
    return marked(code, lexer_of(language), deadline)


def marked(code: str, lexer: Lexer, deadline: Deadline | None = None) -> markupsafe.Markup:
    """Return code as HTML, by a lexer; `TooSlow` if that takes too long."""
    tokens = (deadline or Deadline()).each(lexer.get_tokens(code))
    return markupsafe.Markup(pygments.format(tokens, _FORMATTER))  # noqa: S704 - it is escaped


def lexer_of(language: str) -> Lexer:
    """Return the lexer of a language; that of plain text for an unknown one."""
    try:
        found: Lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return TextLexer(stripnl=False)
    return found
