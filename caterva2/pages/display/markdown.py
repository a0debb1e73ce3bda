"""Markdown as HTML: no HTML in it counts, and pictures of other hosts are not fetched."""

from __future__ import annotations

import posixpath
import re
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

import markupsafe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from caterva2.pages import figures
from caterva2.pages.display.highlight import Deadline, highlighted

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//|\\", re.IGNORECASE)
_CODE = 50_000
"""Characters of a block of code up to which its syntax is marked."""
_COLUMNS = 1000
"""Bars of a line up to which it may be a row: a table is one step of the parser."""
_Tokens = Sequence[Token]


def rendered(
    text: str, directory: str, deadline: Deadline | None = None, prefix: str = ""
) -> markupsafe.Markup:
    """Return Markdown as HTML.

    Parameters
    ----------
    text : str
    directory : str
        Directory of the file, with its root: what paths in it are relative to.
    deadline : Deadline, optional
    prefix : str, optional
        In front of all paths of the server.

    Raises
    ------
    TooSlow
    """
    until = deadline or Deadline()
    options: Any = {"html": False, "highlight": _highlighter(until), "maxNesting": 20}
    parser = MarkdownIt("commonmark", options, renderer_cls=_Renderer)
    parser.enable("strikethrough")
    if all(line.count("|") <= _COLUMNS for line in text.splitlines()):
        parser.enable("table")
    _watch(parser, until)
    made: str = parser.render(text, {"directory": directory, "prefix": prefix})
    return markupsafe.Markup(made)  # noqa: S704 - the parser escapes all that it was given


def _watch(parser: MarkdownIt, deadline: Deadline) -> None:
    """Have a parser look at the clock before each of its steps: rules that match nothing do."""

    def rule(*_: Any) -> bool:
        deadline.check()
        return False

    chains = ["paragraph", "reference", "blockquote", "list", "table"]
    parser.block.ruler.before("table", "deadline", rule, {"alt": chains})
    parser.inline.ruler.before("text", "deadline", rule)


def _highlighter(deadline: Deadline) -> Callable[[str, str, str], str]:
    def highlight(code: str, language: str, _: str) -> str:
        return str(highlighted(code, language, deadline)) if language and len(code) <= _CODE else ""

    return highlight


class _Renderer(RendererHTML):
    """Writes what tokens stand for; the methods are named after these."""

    def image(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        source = str(token.attrs.get("src", ""))
        label = self.renderInlineAsText(token.children or [], options, env)
        target = _target(source, env)
        if target is None:
            return f'<span class="soft">[picture: {markupsafe.escape(label or source)}]</span>'
        place = markupsafe.escape(env["prefix"] + figures.path("api/download", target))
        return f'<img src="{place}" alt="{markupsafe.escape(label)}" loading="lazy">'

    def link_open(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        attributes = tokens[idx].attrs
        source = str(attributes.get("href", ""))
        target = _target(source, env)
        if target is not None:
            attributes["href"] = env["prefix"] + figures.path("roots", target)
        elif not source.startswith("#"):
            attributes["rel"] = "noopener noreferrer nofollow"
        return self.renderToken(tokens, idx, options, env)

    def heading_open(self, tokens: _Tokens, idx: int, *_: Any) -> str:
        return f"<{_lower(tokens[idx].tag)}>"

    def heading_close(self, tokens: _Tokens, idx: int, *_: Any) -> str:
        return f"</{_lower(tokens[idx].tag)}>\n"


def _lower(tag: str) -> str:
    """Return the heading of the next level: the page itself has the first one."""
    return f"h{min(6, int(tag[1:]) + 1)}"


def _target(source: str, env: EnvType) -> str | None:
    """Return the path below the roots that a relative link means; None for any other link."""
    if not source or _SCHEME.match(source) or source.startswith("#"):
        return None
    plain = urllib.parse.unquote(source.partition("#")[0].partition("?")[0])
    root, _, below = str(env["directory"]).partition("/")
    inside = posixpath.normpath(posixpath.join("/", below, plain.lstrip("/")))
    return f"{root}{inside}".rstrip("/")
