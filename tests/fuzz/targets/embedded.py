"""Frames with datasets embedded in them (.b2e)."""

from __future__ import annotations

from caterva2.stores.containers import Trees
from tests.fuzz.targets import _datasets


def one(data: bytes) -> None:
    _datasets.read("a.b2e", data, Trees.of_frame)
