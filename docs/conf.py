"""Settings of the documentation site. ``bin/docs`` builds it, and fails on each warning."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caterva2.web import app
from caterva2.web.api import accounts, tokens
from caterva2.web.openapi.document import document

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Caterva2"
author = "the developers of Caterva2"
release = version = importlib.metadata.version("caterva2")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["man", "man5"]
root_doc = "index"
suppress_warnings = ["ref.python"]  # `path` and `dtype` are attributes of several classes
myst_heading_anchors = 4  # links to headings are those of a code host
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "Caterva2"
html_copy_source = False
html_show_sphinx = False

HERE = Path(__file__).parent
_ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>$', re.MULTILINE)
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:benchmarks|conf|bin|caterva2)[^)]*\)")


def adapt(_: Sphinx, __: str, source: list[str]) -> None:
    """Turn anchors in HTML into targets, and links to files beside ``docs`` into their names.

    The pages are written for code hosts, which know neither MyST's targets nor a root of pages.
    """
    source[0] = _OUTSIDE.sub(r"`\1`", _ANCHOR.sub(r"(\1)=", source[0]))


def write_calls(_: Sphinx) -> None:
    """Write a page of all REST calls, from what the OpenAPI document is made of."""
    offered = (*app.OPERATIONS, *accounts.OPERATIONS, accounts.REGISTER, *tokens.OPERATIONS)
    parts = ["# All REST calls", _BEGIN]
    for path, methods in document(offered)["paths"].items():
        parts += [_call(method, path, call) for method, call in methods.items() if method != "head"]
    page = HERE / "reference" / "calls.md"
    text = "\n\n".join(parts) + "\n"
    if not page.exists() or page.read_text() != text:
        page.write_text(text)


_BEGIN = """Made from the declarations that `GET /api/openapi.json` is made of.
The [page about REST](../rest.md) explains what they do."""


def _call(method: str, path: str, call: dict[str, Any]) -> str:
    lines = [f"## `{method.upper()} {path}`", "", f"{call['summary']}.", ""]
    for given in call["parameters"]:
        note = given.get("description", "").replace("\n", " ")
        needed = "" if given["in"] == "path" or not given.get("required") else ", required"
        lines.append(f"- `{given['name']}` ({given['in']}{needed}){': ' if note else ''}{note}")
    if body := call.get("requestBody"):
        lines.append(f"- body: {', '.join(f'`{kind}`' for kind in body['content'])}")
    lines += ["", f"Answers {', '.join(call['responses'])}."]
    return "\n".join(lines)


def setup(sphinx: Sphinx) -> None:
    """Register what prepares the pages."""
    sphinx.connect("builder-inited", write_calls)
    sphinx.connect("source-read", adapt)
