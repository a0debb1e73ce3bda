"""Doubts about earlier answers: what else answers requests has to ask anew."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from caterva2.names import DatasetPath, RootName


class Doubted(Protocol):
    """What is affected; all methods may be called from any thread, and never block."""

    def doubt_all(self) -> None:
        """Note that rights or users changed."""

    def doubt_root(self, root: RootName) -> None:
        """Note that a root changed as a whole, or who may read it."""

    def doubt_datasets(self, root: RootName, paths: Collection[DatasetPath]) -> None:
        """Note that some datasets have other versions."""


class Doubts:
    """Pass doubts on, as `Doubted`, to those who are affected.

    Attributes
    ----------
    affected : list of Doubted
    """

    def __init__(self) -> None:
        self.affected: list[Doubted] = []

    def doubt_all(self) -> None:
        """Note that rights or users changed."""
        for one in self.affected:
            one.doubt_all()

    def doubt_root(self, root: RootName) -> None:
        """Note that a root changed as a whole, or who may read it."""
        for one in self.affected:
            one.doubt_root(root)

    def doubt_datasets(self, root: RootName, paths: Collection[DatasetPath]) -> None:
        """Note that some datasets have other versions."""
        for one in self.affected:
            one.doubt_datasets(root, paths)
