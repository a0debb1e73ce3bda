"""Descriptions of directories and datasets."""

from __future__ import annotations

import json

import pytest

from caterva2.errors import NotFound
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.web import descriptions

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
