"""Fixtures that several test files of this directory share."""

from __future__ import annotations

from pathlib import Path

import pytest

from caterva2.cache.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A subscriber's cache without anything in it."""
    return Store(tmp_path / "cache")
