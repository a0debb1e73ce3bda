"""Expression: an array that the subscriber computes of others when it is read."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Protocol

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.arrays import dtypes
from caterva2.client.lazy import computing
from caterva2.client.lazy.arithmetic import Reducing
from caterva2.client.lazy.term import Term, subscript
from caterva2.client.threads import Threads
from caterva2.client.transport import Transport
from caterva2.client.types import RemotePath
from caterva2.runtime.printable import printable


class ComputingClient(Protocol):
    """The part of a client that expressions use."""

    @property
    def transport(self) -> Transport: ...
    @property
    def urlbase(self) -> str: ...
    def get(self, path: RemotePath) -> Any: ...


class Expression(Reducing):
    """An array that the subscriber computes of its operands when a part of it is read.

    Making one, and combining it with others, takes no request; `shape` and `dtype` take one, which
    computes nothing. Each read is of one version of each operand, the newest. It is no array in
    memory: its truth and its iteration are refused.

    Parameters
    ----------
    client : ComputingClient
    term : Term
    """

    def __init__(self, client: ComputingClient, term: Term) -> None:
        self._client = client
        self._own = term
        self._plan: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The expression, in which operands have the names of `operands`."""
        return self._own.text

    @property
    def operands(self) -> Mapping[str, PurePosixPath]:
        """Paths of the operands by their names in the text."""
        paths = {name: PurePosixPath(path) for name, path in self._own.operands.items()}
        return MappingProxyType(paths)

    def plan(self) -> dict[str, Any]:
        """Request what computing it takes: ``shape dtype nbytes etag cost operands``."""
        self._plan = computing.plan(self._client.transport, self.text, self._own.operands)
        return self._plan

    @property
    def shape(self) -> tuple[int, ...]:
        """Items along each axis, as the subscriber said first."""
        return tuple((self._plan or self.plan())["shape"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the items, as the subscriber said first."""
        return dtypes.parse((self._plan or self.plan())["dtype"])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def compute(self) -> Any:
        """Have all of it computed, and return the values: an array, or a scalar."""
        return self._computed(self._own)

    def __getitem__(self, key: Any) -> Any:
        """Have a part computed, by integers, slices and ``...``."""
        return self._computed(subscript(self._own, key))

    def to_blosc2(self) -> blosc2.LazyExpr:
        """Return a lazy expression of Blosc2, which reads the operands and computes here."""
        operands = {name: self._client.get(path) for name, path in self._own.operands.items()}
        return blosc2.lazyexpr(self.text, operands)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("an expression is remote: an array of it is always a copy")
        values = np.asarray(self.compute())
        return values if dtype is None else values.astype(dtype, copy=False)

    def __bool__(self) -> bool:
        raise TypeError("an expression is neither true nor false: compute it first")

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("an expression is not iterable: slice it, or compute it first")

    def __repr__(self) -> str:
        named = ", ".join(f"{name}: {path}" for name, path in self._own.operands.items())
        return printable(f"<{type(self).__name__}: {self.text} of {named}>")

    @property
    def _term(self) -> Term:
        return self._own

    def _expression(self, term: Term) -> Any:
        return type(self)(self._client, term)

    def _computed(self, term: Term) -> Any:
        return computing.values(self._client.transport, term.text, term.operands, term.etags)


class AsyncExpression(Reducing):
    """An `Expression` whose reads are awaited: ``await expression[:10]``."""

    __iter__ = None
    __contains__ = None

    def __init__(self, expression: Expression, threads: Threads) -> None:
        self._one = expression
        self._threads = threads

    @property
    def text(self) -> str:
        """The expression, in which operands have the names of `operands`."""
        return self._one.text

    @property
    def operands(self) -> Mapping[str, PurePosixPath]:
        """Paths of the operands by their names in the text."""
        return self._one.operands

    async def plan(self) -> dict[str, Any]:
        """Request what computing it takes: ``shape dtype nbytes etag cost operands``."""
        return await self._threads.run(self._one.plan)

    async def compute(self) -> Any:
        """Have all of it computed, and return the values: an array, or a scalar."""
        return await self._threads.run(self._one.compute)

    def __getitem__(self, key: Any) -> Coroutine[Any, Any, Any]:
        return self._threads.run(self._one.__getitem__, key)

    def __bool__(self) -> bool:
        return bool(self._one)

    def __repr__(self) -> str:
        return f"<Async{repr(self._one)[1:]}"

    @property
    def _term(self) -> Term:
        return self._one._own

    def _expression(self, term: Term) -> Any:
        return AsyncExpression(self._one._expression(term), self._threads)

    def _computed(self, term: Term) -> Any:
        return self._threads.run(self._one._computed, term)
