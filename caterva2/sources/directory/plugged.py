"""Arrays below a directory that can be decoded only with plugins of Blosc2, such as ZFP."""

from __future__ import annotations

from abc import ABC, abstractmethod

from caterva2.sources.base import Datasets


class Plugged(ABC):
    """Makes chunks that need no plugins of those that do."""

    @abstractmethod
    def open(self, path: str) -> Datasets:
        """Return the chunks of an array, as of a dataset of any path; this costs nothing."""

    @abstractmethod
    def close(self) -> None:
        """Close everything; no method is called after it."""
