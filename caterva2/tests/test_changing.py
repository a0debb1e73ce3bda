"""Changes: of special roots by users, and of published files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.client import Client
from caterva2.tests.conftest import PATIENCE_S
from caterva2.tests.reached import Reached


def test_uploads_read_back(client: Client, place: str, originals: Path) -> None:
    client.upload(originals / "ds-1d.b2nd", f"{place}/a.b2nd")
    np.testing.assert_array_equal(client.fetch(f"{place}/a.b2nd"), np.arange(1000))
    assert client.append(f"{place}/a.b2nd", np.arange(5)) == (1005,)
    assert client.fetch(f"{place}/a.b2nd", -1) == 4


def test_files_are_copied_moved_and_removed(client: Client, root: str, place: str) -> None:
    client.copy(f"{root}/dir1/ds-2d.b2nd", f"{place}/a.b2nd")
    client.move(f"{place}/a.b2nd", f"{place}/b.b2nd")
    assert client.get_list(place) == ["b.b2nd"]
    client.copy(f"{place}/b.b2nd", f"{place}/c.b2nd")
    client.remove(f"{place}/b.b2nd")
    assert client.get_list(place) == ["c.b2nd"]


def test_expressions_are_stored(client: Client, root: str, place: str) -> None:
    client.copy(f"{root}/dir1/ds-2d.b2nd", f"{place}/a.b2nd")
    name = str(client.lazyexpr("tested", "a * 2", {"a": f"{place}/a.b2nd"}))
    try:
        assert client.fetch(name, (9, 19)) == 398
    finally:
        client.remove(name)


def test_strangers_change_nothing(subscriber: Reached, originals: Path) -> None:
    with Client(subscriber.url) as stranger, pytest.raises(caterva2.HttpError) as refused:
        stranger.upload(originals / "ds-1d.b2nd", "@shared/a.b2nd")
    assert refused.value.status_code in (401, 403, 404)


def test_published_changes_arrive(client: Client, root: str, subscriber: Reached) -> None:
    if subscriber.source is None:
        pytest.skip("the files of services that run are left alone")
    new = subscriber.source / "new.b2nd"
    blosc2.asarray(np.arange(7), urlpath=str(new))
    _eventually_reads(client, f"{root}/new.b2nd", np.arange(7))
    other = new.with_suffix(".other")
    blosc2.asarray(np.arange(9), urlpath=str(other))
    other.replace(new)
    _eventually_reads(client, f"{root}/new.b2nd", np.arange(9))
    new.unlink()
    _eventually(lambda: "new.b2nd" not in client.get_list(root))


def _eventually_reads(client: Client, path: str, expected: Any) -> None:
    def reads() -> bool:
        with contextlib.suppress(caterva2.HttpError):
            return np.array_equal(client.fetch(path), expected)
        return False

    _eventually(reads)


def _eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, f"not after {PATIENCE_S:g} s"
        time.sleep(0.05)
