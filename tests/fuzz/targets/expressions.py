"""Expressions over datasets."""

from __future__ import annotations

import contextlib

from caterva2.compute import syntax
from caterva2.errors import BadExpression


def one(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(BadExpression):
        for name in syntax.names(syntax.parse(text)):
            assert name
    with contextlib.suppress(BadExpression):
        syntax.check_operand(text)
