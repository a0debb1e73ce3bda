"""Taking home: datasets, directories and roots, into the client's cache or as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from caterva2.client import caching
from caterva2.client.transport import Transport
from caterva2.client.types import Deletion, Progress, RemotePath

if TYPE_CHECKING:
    from caterva2.client.caching import Report


class Taking:
    """Calls that take data home, and bring it in step.

    Attributes
    ----------
    transport : Transport
    """

    transport: Transport

    def take(
        self, path: RemotePath, key: Any = None, *, to: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Report:  # fmt: skip
        """Take a dataset, a part of it, a directory or a root home.

        Parameters
        ----------
        path : str
        key : numpy key, optional
            The part of an array to take, of integers, slices and ``...``; all of it by default.
        to : path, optional
            A directory for files; by default it is taken into the client's cache, where it is not
            evicted.
        progress : callable, optional
            Called with about the bytes that were fetched, and those in total.

        Returns
        -------
        Report
            Paths: ``taken``, ``unchanged`` and ``failed``, with the reasons.
        """
        return caching.take(self, str(path), key, to, progress)

    def sync(
        self, *, to: str | Path | None = None, delete: Deletion = False,
        progress: Progress | None = None,
    ) -> Report:  # fmt: skip
        """Bring what was taken into the cache, or into a directory, in step with the subscriber.

        What it does not have any more is in ``removed`` of the report, and stays here unless
        ``delete`` is true. A directory or root of which nothing is left may only be unmounted
        there: it is in ``failed``, and removed if ``delete`` is ``"all"``.
        """
        return caching.sync(self, to, delete, progress)
