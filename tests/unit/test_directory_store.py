"""Objects below a directory: what is listed, and that nothing outside of it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from caterva2.errors import SourceCorrupt
from caterva2.stores.store import DirectoryStore


def test_a_listing_follows_no_link_on_its_way(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").touch()
    (tmp_path / "store").mkdir()
    (tmp_path / "store/out").symlink_to(tmp_path / "elsewhere")
    assert DirectoryStore(tmp_path / "store").children("out") == ({}, [])


def test_what_cannot_be_listed_is_damage(tmp_path: Path) -> None:
    with pytest.raises(SourceCorrupt, match="can't be listed"):
        DirectoryStore(tmp_path).children("x" * 300)
