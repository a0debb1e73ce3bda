"""Exports: remote objects as those of other libraries, which are loaded when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caterva2.integrations.columns import Columns


class ZarrExports:
    """Export of arrays, directories and roots to objects of zarr-python."""

    def zarr(self) -> Any:
        """Return a `zarr.Array` of the known version, or a `zarr.Group` of what is there now.

        It is read over the connections of this client, and only in this version.
        """
        from caterva2.integrations import zarr_store

        return zarr_store.of(self)


class TableExports(ZarrExports):
    """A directory that may be a table of Blosc2."""

    def _columns(self, wanted: Sequence[str] | None) -> Columns:
        from caterva2.integrations import columns

        return columns.of_table(self, wanted)  # type: ignore[arg-type]

    def to_pandas(self, columns: Sequence[str] | None = None, rows: slice | None = None) -> Any:
        """Return a `pandas.DataFrame` of its columns.

        Parameters
        ----------
        columns : sequence of str, optional
            Their names; all by default.
        rows : slice, optional
            Of the stored rows; all by default.
        """
        from caterva2.integrations import pandas_frames

        return pandas_frames.frame_of(self._columns(columns), rows)

    def to_arrow(self, columns: Sequence[str] | None = None, rows: slice | None = None) -> Any:
        """Return a `pyarrow.Table` of its columns; the parameters are those of `to_pandas`."""
        from caterva2.integrations import arrow

        return arrow.reader_of(self._columns(columns), rows).read_all()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export its rows as a stream of batches, to pyarrow, polars, duckdb and others."""
        from caterva2.integrations import arrow

        return arrow.reader_of(self._columns(None)).__arrow_c_stream__(requested_schema)


class ArrayExports(TableExports):
    """An array, which is a table if it has one dimension."""

    def to_dask(self, chunks: Any = "auto") -> Any:
        """Return a `dask.array.Array` of the known version.

        Parameters
        ----------
        chunks : optional
            As for `dask.array.from_array`; by default multiples of the chunks, of up to 32 MB.
        """
        from caterva2.integrations import dask_arrays

        return dask_arrays.array_of(self, chunks)  # type: ignore[arg-type]

    def _columns(self, wanted: Sequence[str] | None) -> Columns:
        from caterva2.integrations import columns

        return columns.of_dataset(self, wanted)  # type: ignore[arg-type]
