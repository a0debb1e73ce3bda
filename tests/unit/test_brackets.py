"""What stands behind a path on a command line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caterva2.cli.commands import brackets
from caterva2.errors import BadSelection


@pytest.mark.parametrize(
    ("text", "path", "key"),
    [
        ("foo/a.b2nd", "foo/a.b2nd", ()),
        ("foo/a.b2nd[]", "foo/a.b2nd", ()),
        ("foo/a.b2nd[3]", "foo/a.b2nd", (3,)),
        ("foo/a.b2nd[1:, ..., ::-2]", "foo/a.b2nd", np.s_[1:, ..., ::-2]),
        ("foo/a.b2nd[[1, 2]]", "foo/a.b2nd", ([1, 2],)),
        ("foo/a.b2nd[:, [[0], [2]], 3]", "foo/a.b2nd", np.s_[:, [[0], [2]], 3]),
        ("foo/a.b2nd[[True, False], 1]", "foo/a.b2nd", ([True, False], 1)),
        ("foo/a.b2nd['name']", "foo/a.b2nd", "name"),
        ('foo/a.b2nd["name"]', "foo/a.b2nd", "name"),
        ("foo/a[1].txt", "foo/a[1].txt", ()),
        ("foo/a[1].b2nd[2]", "foo/a[1].b2nd", (2,)),
    ],
)  # fmt: skip
def test_path_and_key(text: str, path: str, key: Any) -> None:
    assert brackets.split(text) == (path, key)


@pytest.mark.parametrize(
    "text",
    [
        "a[x]",
        "a]",
        "[1]",
        "a[[1, b]]",
        "a[[__import__]]",
        "a[[" * 500 + "1" + "]]" * 500,
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadSelection):
        brackets.split(text)
