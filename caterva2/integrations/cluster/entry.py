"""What a scheduler and workers import by its name; it loads nothing before it has to compute."""

from __future__ import annotations

import pickle
from typing import Any

from caterva2.version import __version__


def perform(version: str, payload: bytes) -> Any:
    """Compute a piece that a subscriber of this version pickled."""
    from caterva2.integrations.cluster import worker

    if version != __version__:
        return worker.Failed(None, f"a worker has version {__version__}, not {version}")
    access, task = pickle.loads(payload)  # noqa: S301 - a cluster runs what it is handed anyway
    return worker.perform(access, task)
