"""A page has the revision of what it shows, and is made anew only for another one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from caterva2.model import RootStatus, Way
from caterva2.names import RootName
from caterva2.pages.levels import revision
from caterva2.web.reader import Catalogue

ROOT = RootStatus(RootName("lab"), "h:1", subscribed=True, offline=False, way=Way("up", as_of=1.0))


class Roots:
    """A catalogue with one root and no datasets."""

    def __init__(self, root: RootStatus) -> None:
        self.root = root

    def roots(self) -> list[RootStatus]:
        return [self.root]

    async def generation(self, _: RootName) -> str:
        return "g1"


def revisions(root: RootStatus) -> tuple[str, str]:
    catalogue = cast("Catalogue", Roots(root))
    place = revision.of_place(catalogue, root.name, "")
    return asyncio.run(revision.of_roots(catalogue)), asyncio.run(place)


def test_it_stays_while_a_publisher_is_heard_again() -> None:
    later = replace(ROOT, way=Way("up", as_of=2.0))
    assert revisions(later) == revisions(ROOT)


@pytest.mark.parametrize("changed", [{"offline": True}, {"way": Way("away")}, {"http": "h:2"}])
def test_it_changes_with_the_state_of_a_root(changed: dict[str, Any]) -> None:
    now, before = revisions(replace(ROOT, **changed)), revisions(ROOT)
    assert [a == b for a, b in zip(now, before, strict=True)] == [False, False]
