"""Other libraries read through the cache, and without network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caterva2
from caterva2.client.errors import OfflineWarning, Unreachable
from caterva2.client.http.transport import HttpTransport
from tests.client.arrays import GRID
from tests.conftest import Stack


def test_xarray_dask_and_blosc2_work_without_network(
    lab: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xarray = pytest.importorskip("xarray")
    monkeypatch.setenv("CATERVA2_CACHE", str(tmp_path))
    address = lab.url.replace("http:", "cat2:") + "/foo/dir1"
    opened = xarray.open_dataset(address, engine="caterva2")
    expected = {name: variable.values for name, variable in opened.variables.items()}
    assert len(expected) == 2
    assert caterva2.Client(lab.url)["foo/grid.b2nd"][:].shape == GRID.shape

    def cut(*_: object) -> None:
        raise Unreachable("the line is cut")

    monkeypatch.setattr(HttpTransport, "exchange", cut)
    with pytest.warns(OfflineWarning):
        again = xarray.open_dataset(address, engine="caterva2")
    for name, values in expected.items():
        assert np.array_equal(again[name].values, values)
        assert np.array_equal(again[name][1:, 0].values, values[1:, 0])
    with pytest.warns(OfflineWarning):
        grid = caterva2.Client(lab.url)["foo/grid.b2nd"]
    assert (
        grid.to_dask(chunks=(15, 25))[5:30].compute(scheduler="synchronous") == GRID[5:30]
    ).all()
    assert (np.asarray(grid) == GRID).all()
