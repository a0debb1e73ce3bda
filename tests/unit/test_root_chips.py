"""What pages say of the state of a root, in one word"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from caterva2.browsing.details import RootDetails
from caterva2.model import RootStatus, Way
from caterva2.names import RootName
from caterva2.pages.rendering import Renderer
from caterva2.pages.roots import Shown

UP, AWAY = Way("up", ("m1",), "h:2"), Way("away", ("m1",), "h:2", as_of=1.0)
DETAILS = RootDetails(1, 10, 0, "live", 1.0)
TEMPLATE = '{% from "parts/crumbs.html" import state %}{{ state(status) }}'


def root(way: Way, *, offline: bool = False, name: str = "foo") -> RootStatus:
    return RootStatus(RootName(name), "h:2", subscribed=True, offline=offline, way=way)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (root(Way("up")), "live"),
        (root(UP), "live"),
        (root(AWAY), "mirrored"),
        (root(AWAY, offline=True), "offline"),
        (root(Way("away"), offline=True), "offline"),
    ],
)
def test_a_root_that_only_mirrors_have_is_not_live(
    status: RootStatus, word: str, tmp_path: Path
) -> None:
    assert Shown(status, DETAILS).state == word
    (tmp_path / "x.html").write_text(TEMPLATE)
    assets: Any = SimpleNamespace(url=str)
    text = Renderer(assets, {"x": tmp_path}).text("plugins/x/x.html", {"status": status})
    assert re.findall(r'class="chip (\w+)".*>(\w+)<', text) == [(word, word)]
