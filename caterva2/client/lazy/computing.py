"""Requests of computations: their values, and what they would take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.client.errors import PreconditionFailed
from caterva2.client.lazy.recipe import path_of
from caterva2.client.read import frames, stream
from caterva2.client.transport import Response, Transport
from caterva2.errors import BadRequest, StaleVersion
from caterva2.rest import paths
from caterva2.rest.paths import relative
from caterva2.runtime.retry import retry_stale


def operands_of(given: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, str]:
    """Return paths of operands by their names, given as paths or objects.

    Raises
    ------
    BadRequest
        If one is given twice, or is something else.
    """
    twice = (given or {}).keys() & more.keys()
    if twice:
        raise BadRequest(f"operand {min(twice)} is given twice")
    return {name: path_of(name, one) for name, one in {**(given or {}), **more}.items()}


def values(
    transport: Transport, text: str, operands: Mapping[str, str],
    etags: Mapping[str, str] | None = None,
) -> Any:  # fmt: skip
    """Have an expression computed, and return its values: an array, or a scalar.

    Raises
    ------
    HttpError
        If the expression or an operand is refused, or too much would have to be computed.
    StaleVersion
        If operands changed during every try, or one has another version than ``etags`` name.
    """
    body = _body(text, operands, etags)

    def attempt() -> Any:
        target = relative(paths.COMPUTE)
        with transport.stream(
            "POST", target, None, stream.ACCEPT, body, repeatable=True
        ) as response:
            return _decoded(response)

    try:
        found = np.asarray(retry_stale(attempt, tries=transport.limits.tries))
    except PreconditionFailed as error:
        raise StaleVersion(error.detail) from None
    return found[()] if found.ndim == 0 else found


def plan(transport: Transport, text: str, operands: Mapping[str, str]) -> dict[str, Any]:
    """Return what would be computed: shape, dtype, cost and versions of operands."""
    answer = transport.request(
        "POST", relative(paths.COMPUTE), {"dry": "1"}, None, _body(text, operands), repeatable=True
    )
    found: dict[str, Any] = answer.json()
    return found


def _body(text: str, operands: Mapping[str, str], etags: Mapping[str, str] | None = None) -> bytes:
    if not isinstance(text, str):
        raise BadRequest(f"the expression is {type(text).__name__}, not text")
    body = {"expression": text, "operands": dict(operands)}
    return json.dumps(body | {"etags": dict(etags)} if etags else body).encode()


def _decoded(response: Response) -> npt.NDArray[Any]:
    if stream.is_stream(response):
        return stream.Reader(response).all_of(())[0]
    found: npt.NDArray[Any] = frames.decode(frames.parse(response.content()))
    return found
