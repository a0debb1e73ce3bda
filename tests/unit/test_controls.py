"""Names on pages whose controls would change the order in which they are read"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from caterva2.pages import controls
from caterva2.pages.rendering import Renderer

NAME = "a\u202egnp.exe"
TEMPLATE = (
    '<a href="{{ path(name) }}" title="{{ name | visible }}">{{ name }}</a>'
    '<input value="{{ name }}"><textarea>\n{{ name }}</textarea>'
)


def test_controls_are_shown_on_pages_and_sent_back_unchanged(tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text(TEMPLATE)
    assets: Any = SimpleNamespace(url=str)
    shown = Renderer(assets, {"x": tmp_path}).text("plugins/x/x.html", {"name": NAME})
    assert shown == (
        r'<a href="/a%E2%80%AEgnp.exe" title="a\u202egnp.exe">a\u202egnp.exe</a>'
        f'<input value="{NAME}"><textarea>\n{NAME}</textarea>'
    )


def test_text_without_controls_is_left() -> None:
    for text in ("a < b", "\u05d0\u200f <b>x</b>", ""):
        assert controls.visible(text) == controls.visible_in(text) == text
