"""Names of dimensions: what is one, and that a description has one for each axis."""

from __future__ import annotations

from typing import Any

import pytest

from caterva2.arrays.dimensions import checked
from caterva2.limits import constants

LONGEST = "x" * constants.DIMENSION_NAME


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["time", "lat"], ("time", "lat")),
        (["time", None], ("time", None)),
        (["größe", ""], ("größe", None)),
        ([LONGEST, LONGEST + "x"], (LONGEST, None)),
        (["a", 3], ("a", None)),
        (["a", "b\x00"], ("a", None)),
        (["a", "\ud800"], ("a", None)),
        ([None, ""], ()),
        (["time"], ()),
        (["time", "lat", "lon"], ()),
        ([], ()),
    ],
)
def test_names_of_two_dimensions(names: Any, expected: Any) -> None:
    assert checked(names, 2) == expected


def test_scalar_has_no_dimensions() -> None:
    assert checked([], 0) == ()
