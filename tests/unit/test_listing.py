"""Lists of datasets as JSON, in however many steps."""

from __future__ import annotations

import json

import pytest

from caterva2.errors import NotFound
from caterva2.names import DatasetPath
from caterva2.web import descriptions

PATHS = [DatasetPath(f'd/{n:02}é"') for n in range(25)]


@pytest.mark.parametrize("step", [1, 5, 7, 25, 1000])
def test_list_is_the_same_in_steps_of_any_size(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(descriptions, "LISTED_AT_ONCE", step)
    assert json.loads(descriptions.listing("foo", "", PATHS[::-1])) == PATHS
    assert json.loads(descriptions.listing("foo/d", "d", PATHS)) == [path[2:] for path in PATHS]


def test_list_of_an_empty_root_is_empty() -> None:
    assert json.loads(descriptions.listing("foo", "", [])) == []


def test_list_of_a_directory_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotFound, match="foo/x does not exist"):
        descriptions.listing("foo/x", "x", PATHS)
