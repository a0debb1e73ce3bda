"""Names of roots and paths, and the paths on the disk of what is stored under them."""

from __future__ import annotations

import contextlib
import os.path

from caterva2 import names
from caterva2.errors import BadName
from caterva2.names import DatasetPath, Place, RootName

TOP = "/root"


def one(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(BadName):
        root = RootName(text)
        assert "/" not in root
        assert root not in ("", ".", "..")
    with contextlib.suppress(BadName):
        check(DatasetPath(text))
    with contextlib.suppress(BadName):
        root, path = names.parse_full(text)
        check(path)
        assert names.full_name(root, path) == text
    with contextlib.suppress(BadName):
        place = Place.parse(text)
        if place.below:
            check(place.path)
        assert Place.parse(f"{place}/") == Place(place.root, place.below, True)


def check(path: DatasetPath) -> None:
    """Check that a path leads out of no directory, and is one that others may be shown."""
    assert os.path.normpath(f"{TOP}/{path}") == f"{TOP}/{path}"
    path.encode()
    names.is_group(path)
    names.containers([path, path.parts[0]])
