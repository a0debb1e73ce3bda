"""Prefetch jobs: what the subscriber fetches into its cache in the background."""

from __future__ import annotations

from typing import Any

from caterva2.client.transport import Transport
from caterva2.client.types import RemotePath
from caterva2.rest import paths
from caterva2.rest.paths import relative


class Prefetching:
    """Calls that start, watch and cancel prefetch jobs.

    Attributes
    ----------
    transport : Transport
    """

    transport: Transport

    def prefetch(self, path: RemotePath, key: Any = None) -> dict[str, Any]:
        """Start to fetch a dataset, directory or root into the subscriber's cache.

        Parameters
        ----------
        path : str
        key : numpy key, optional
            The part of a dataset, of integers, slices and ``...``; all of it by default. `get` and
            `cancel` the job with an equal one.

        Returns
        -------
        dict
            The job: its ``state`` (``waiting``, ``running``, ``done``, ``failed`` or
            ``cancelled``), the number of ``datasets`` and how many are ``done`` or ``failed``,
            and how many of ``nchunks`` are ``cached``.
        """
        return self._job("POST", path, key)

    def get_prefetch(self, path: RemotePath, key: Any = None) -> dict[str, Any]:
        """Return the progress of a prefetch job, as `prefetch` does."""
        return self._job("GET", path, key)

    def cancel_prefetch(self, path: RemotePath, key: Any = None) -> dict[str, Any]:
        """Cancel a prefetch job; the chunks that it has fetched stay in the cache."""
        return self._job("DELETE", path, key)

    def _job(self, method: str, path: RemotePath, key: Any) -> dict[str, Any]:
        query = None
        if key is not None and key != ():
            from caterva2.arrays import selection

            query = {"slice_": selection.to_string(key)}
        return self.transport.json(
            dict, method, relative(paths.PREFETCH, path), query, repeatable=True
        )
