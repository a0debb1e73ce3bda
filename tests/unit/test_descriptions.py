"""Descriptions of directories and datasets."""

from __future__ import annotations

import json

import msgpack
import numpy as np
import pytest
import samples
from pydantic_core import to_json

from caterva2.errors import NotFound
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath, RootName
from caterva2.web import descriptions
from caterva2.web.members import Members

PATHS = [DatasetPath(f'd/{n:02}é"') for n in range(25)]
STEP = DEFAULTS.web.listing_step


@pytest.mark.parametrize("step", [1, 5, 7, 25, 1000])
def test_list_does_not_depend_on_the_steps_in_which_it_is_made(step: int) -> None:
    assert json.loads(descriptions.listing("foo", "", PATHS[::-1], step)) == PATHS
    found = descriptions.listing("foo/d", "d", PATHS, step)
    assert json.loads(found) == [path[2:] for path in PATHS]


def test_list_of_an_empty_root_is_empty() -> None:
    assert json.loads(descriptions.listing("foo", "", [], STEP)) == []


def test_list_of_an_unknown_directory_is_refused() -> None:
    with pytest.raises(NotFound, match="foo/x does not exist"):
        descriptions.listing("foo/x", "x", PATHS, STEP)


def test_members_are_described_anew_when_their_description_is_another() -> None:
    members, path = Members(10_000), PATHS[0]
    info = samples.describe(samples.array_frame(np.arange(10)), path)
    first = members.page(RootName("foo"), "d", {path: info}, 5)
    assert members.page(RootName("foo"), "d", {path: info}, 5) == first
    assert json.loads(first)["members"][path[2:]] == json.loads(to_json(descriptions.version(info)))
    same_version = info.model_copy(update={"vlmeta": {"a": msgpack.packb(1)}})
    second = json.loads(members.page(RootName("foo"), "d", {path: same_version}, 5))
    assert second["members"][path[2:]]["attrs"]["a"]["value"] == 1
    other = json.loads(members.page(RootName("bar"), "d", {path: info}, 5))
    assert other == json.loads(first)


def test_what_was_prepared_of_a_page_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    info = samples.describe(samples.array_frame(np.arange(10)), PATHS[0])
    found = {PATHS[0]: info, PATHS[1]: NotFound("it is gone")}
    expected = Members(10_000).page(RootName("foo"), "d", found, 5)
    members = Members(10_000)
    members.prepare(RootName("foo"), found)
    monkeypatch.setattr(descriptions, "version", None)
    assert members.page(RootName("foo"), "d", found, 5) == expected


def test_a_page_of_members_needs_no_room_to_be_kept() -> None:
    info = samples.describe(samples.array_frame(np.arange(10)), PATHS[0])
    made = [Members(room).page(RootName("foo"), "", {PATHS[0]: info}, 1) for room in (1, 10_000)]
    assert made[0] == made[1]
    assert json.loads(made[0])["after"] == PATHS[0]
