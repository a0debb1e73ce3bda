"""Records of datasets that end or hang the process that reads them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

Stamp = tuple[int, ...]
WHOLE = ""
"""Stands for the file itself."""


@dataclass(frozen=True, slots=True)
class _Record:
    reason: str
    times: int
    until: float


class Damage:
    """Damaged datasets of one version of a file; a new version starts without any.

    A file may also be unreadable for a while only, on a network file system say, so it is tried
    again after a time that doubles with each failure.

    Parameters
    ----------
    retry : float
        Seconds until the first time that something is tried again.
    """

    def __init__(self, retry: float) -> None:
        self._retry = retry
        self._lock = threading.Lock()
        self._stamp: Stamp = ()
        self._records: dict[str, _Record] = {}

    def of(self, stamp: Stamp, subject: str, now: float) -> str:
        """Return why a dataset, or all of the file, is not tried now; empty if it is.

        Parameters
        ----------
        stamp : tuple of int
            Names the version of the file.
        subject : str
            Path of the dataset, or `WHOLE`.
        now : float
        """
        with self._lock:
            if stamp != self._stamp:
                return ""
            for name in (WHOLE, subject):
                record = self._records.get(name)
                if record is not None and now < record.until:
                    return record.reason
            return ""

    def add(self, stamp: Stamp, subject: str, reason: str, now: float) -> None:
        """Note that a dataset, or the file itself, ended or hung the process."""
        with self._lock:
            if stamp != self._stamp:
                self._stamp = stamp
                self._records.clear()
            former = self._records.get(subject)
            times = former.times + 1 if former else 0
            self._records[subject] = _Record(reason, times, now + self._retry * 2.0**times)

    def subjects(self, stamp: Stamp, now: float) -> dict[str, str]:
        """Return what is not tried now, with the reasons."""
        with self._lock:
            if stamp != self._stamp:
                return {}
            return {n: r.reason for n, r in self._records.items() if n and now < r.until}
