"""Content of special roots for tests, and how to read it."""

from __future__ import annotations

import blosc2
import numpy as np

from tests.conftest import example_root
from tests.unit.samples import array_frame
from tests.web.places import Places

FRAME = array_frame(np.arange(12).reshape(6, 2), chunks=(4, 2), blocks=(2, 2))
README = (example_root() / "README.md").read_bytes()


def values(places: Places, who: str, path: str) -> np.ndarray:
    answer = places.get(who, f"api/fetch/{path}")
    assert answer.status == 200, answer.body
    found: np.ndarray = blosc2.ndarray_from_cframe(answer.body)[()]
    return found
