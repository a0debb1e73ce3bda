"""Functions of expressions: those that Blosc2 documents, as numpy implements them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np


@dataclass(frozen=True, slots=True)
class Function:
    """An elementwise function.

    Parameters
    ----------
    work : callable
    count : int
        Number of arguments.
    """

    work: Callable[..., Any]
    count: int


def _all(count: int, **works: Callable[..., Any]) -> dict[str, Function]:
    return {name: Function(work, count) for name, work in works.items()}


FUNCTIONS: Final = (
    _all(
        1,
        abs=np.abs, acos=np.acos, acosh=np.acosh, arccos=np.acos, arccosh=np.acosh,
        arcsin=np.asin, arcsinh=np.asinh, arctan=np.atan, arctanh=np.atanh, asin=np.asin,
        asinh=np.asinh, atan=np.atan, atanh=np.atanh, bitwise_invert=np.invert, ceil=np.ceil,
        conj=np.conj, cos=np.cos, cosh=np.cosh, exp=np.exp, expm1=np.expm1, floor=np.floor,
        imag=np.imag, isfinite=np.isfinite, isinf=np.isinf, isnan=np.isnan, log=np.log,
        log10=np.log10, log1p=np.log1p, log2=np.log2, logical_not=np.logical_not,
        negative=np.negative, positive=np.positive, real=np.real, reciprocal=np.reciprocal,
        round=np.round, sign=np.sign, signbit=np.signbit, sin=np.sin, sinh=np.sinh,
        sqrt=np.sqrt, square=np.square, tan=np.tan, tanh=np.tanh, trunc=np.trunc,
    )
    | _all(
        2,
        add=np.add, arctan2=np.atan2, atan2=np.atan2, bitwise_and=np.bitwise_and,
        bitwise_left_shift=np.left_shift, bitwise_or=np.bitwise_or,
        bitwise_right_shift=np.right_shift, bitwise_xor=np.bitwise_xor, copysign=np.copysign,
        divide=np.divide, equal=np.equal, floor_divide=np.floor_divide, greater=np.greater,
        greater_equal=np.greater_equal, hypot=np.hypot, less=np.less, less_equal=np.less_equal,
        logaddexp=np.logaddexp, logical_and=np.logical_and, logical_or=np.logical_or,
        logical_xor=np.logical_xor, maximum=np.maximum, minimum=np.minimum,
        multiply=np.multiply, nextafter=np.nextafter, not_equal=np.not_equal, pow=np.power,
        power=np.power, remainder=np.remainder, subtract=np.subtract,
    )
    | _all(3, clip=np.clip, where=np.where)
)  # fmt: skip
"""Elementwise functions, by their names in expressions."""

REDUCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "sum": np.sum, "prod": np.prod, "min": np.min, "max": np.max, "mean": np.mean,
    "std": np.std, "var": np.var, "any": np.any, "all": np.all,
    "count_nonzero": np.count_nonzero, "argmin": np.argmin, "argmax": np.argmax,
}  # fmt: skip
"""numpy's reductions, which `reducing` computes incrementally."""

CONSTANTS: Final = {"nan": float("nan"), "inf": float("inf")}
KINDS: Final = "biufcmM"
"""Kinds of dtypes that operands may have: numbers, booleans and times."""
