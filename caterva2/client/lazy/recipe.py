"""Recipe: the body of a request that stores an expression."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from caterva2.client.types import RemotePath
from caterva2.errors import BadRequest


def recipe(
    name: RemotePath, expression: Any, operands: Mapping[str, Any] | None, compute: bool
) -> dict[str, Any]:
    """Describe an expression, given as text or as a lazy expression with remote operands.

    Raises
    ------
    BadRequest
        If the expression or an operand is of another type.
    """
    text = getattr(expression, "expression", expression)
    if not isinstance(text, str):
        raise BadRequest(f"the expression is {type(expression).__name__}, not text")
    if operands is None and text is not expression:
        operands = expression.operands
    paths = {key: path_of(key, operand) for key, operand in (operands or {}).items()}
    return {"name": str(name), "expression": text, "operands": paths, "compute": compute}


def path_of(name: str, operand: Any) -> str:
    """Return the path of an operand, given as a path or an object; `BadRequest` for others."""
    path = getattr(operand, "path", operand)
    if not isinstance(path, str | PurePosixPath):
        raise BadRequest(f"operand {name} is {type(operand).__name__}, not a dataset or its path")
    return str(path)
