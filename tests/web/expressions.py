"""Expressions made and fetched over HTTP."""

from __future__ import annotations

from typing import Any

import blosc2
import numpy as np

from tests.web.places import Places

ONE = np.arange(1000)
TWO = np.arange(200, dtype=np.uint16).reshape(10, 20)
DS = {"ds": "foo/ds-1d.b2nd"}
SHEET = {"a": "foo/dir1/ds-2d.b2nd"}


def make(
    places: Places, name: str, text: str, operands: dict[str, str], who: str = "ann", **more: Any
) -> str:
    body = {"name": name, "expression": text, "operands": operands} | more
    answer = places.post(who, "api/lazyexpr/", body)
    assert answer.status == 200, answer.body
    path: str = answer.json
    return path


def refused(places: Places, **changed: Any) -> tuple[int, str]:
    body = {"name": "x", "expression": "ds + 1", "operands": DS} | changed
    answer = places.post("ann", "api/lazyexpr/", body)
    return answer.status, answer.json["detail"]


def fetched(places: Places, target: str, who: str = "ann") -> Any:
    answer = places.get(who, f"api/fetch/{target}")
    assert answer.status == 200, answer.body
    return blosc2.ndarray_from_cframe(answer.body)[()]
