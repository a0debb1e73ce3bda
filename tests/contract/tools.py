"""What ``docs/tools.md`` reads beside the example root."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet


def write(root: Path) -> None:
    """Write an HDF5 file with dimensions, and a table as CSV and Parquet."""
    with h5py.File(root / "air.nc", "w") as file:
        file["time"], file["lat"] = np.arange(4.0), np.linspace(-60, 60, 5)
        file["tas"] = np.arange(20.0).reshape(4, 5)
        for axis, name in enumerate(("time", "lat")):
            file[name].make_scale(name)
            file["tas"].dims[axis].attach_scale(file[name])
    (root / "stations.csv").write_text("name,height\nOslo,23\nBern,540\n")
    table = pa.table({"name": ["Oslo", "Bern"], "height": [23, 540]})
    pyarrow.parquet.write_table(table, root / "stations.parquet")
