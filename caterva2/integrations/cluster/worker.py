"""The worker's end: a piece of an expression, over operands read from the subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TypeVar

from caterva2.arrays import dtypes
from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.selection import Selection
from caterva2.client.errors import HttpError, Unreachable
from caterva2.client.http import transport as http_transport
from caterva2.client.read import values as reading
from caterva2.client.read.region import Region
from caterva2.client.transport import Request, Response, Transport
from caterva2.compute import plans, sharing
from caterva2.compute.plans import Leaf, Reduced
from caterva2.compute.sharing import Result, Task
from caterva2.errors import WIRE_ERRORS, Busy, CatervaError, SlowDown, StaleVersion, from_wire
from caterva2.model import DatasetInfo
from caterva2.rest.session import BEARER

T = TypeVar("T")
_CHANGED = (
    HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT,
    HTTPStatus.GONE, HTTPStatus.PRECONDITION_FAILED,
)  # fmt: skip
"""Answers after which the subscriber opens the operands anew, which gives the user the reason."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a worker reads, and the token that permits it; the token is never shown."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """An error that the subscriber raises; or, without one, why this worker can't compute."""

    error: CatervaError | None
    reason: str = ""


class GrantedTransport(Transport):
    """A transport that adds the token of a grant to what another one sends."""

    def __init__(self, inner: Transport, token: str) -> None:
        self._inner = inner
        self._token = token
        self.urlbase = inner.urlbase
        self.limits = inner.limits

    def url(self, path: str) -> str:
        return self._inner.url(path)

    def exchange(self, request: Request) -> Response:
        headers = {**request.headers, "Authorization": f"{BEARER}{self._token}"}
        return self._inner.exchange(replace(request, headers=headers))

    def close(self) -> None:
        """Leave the connections open: they are for the next piece too."""


class _Threads:
    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)


class _Operand:
    """One version of an operand at the subscriber."""

    def __init__(self, transport: Transport, leaf: Leaf) -> None:
        self._transport = transport
        self.info: DatasetInfo = leaf.info
        known, dtype = self.info, dtypes.parse(self.info.dtype)
        self._source = reading.Source(leaf.operand, known.etag, known.shape, known.chunks, dtype)

    async def values(self, selection: Selection, names: FieldPath = ()) -> Values:
        """Read a selection, or a field of it."""
        region, field = Region(selection.shape, selection.axes), names[0] if names else ""
        given = self._transport, self._source, region, field
        found = await asyncio.to_thread(reading.values, *given)
        for name in names[1:]:
            found = found[name]
        return found


def perform(access: Access, task: Task) -> Result | Failed:
    """Compute a piece; errors are returned, since a worker would try again after one."""
    transport = GrantedTransport(http_transport.of_process(access.url), access.token)
    node = task.node.argument if isinstance(task.node, Reduced) else task.node
    sources = {leaf.operand: _Operand(transport, leaf) for leaf in plans.leaves(node)}
    try:
        return asyncio.run(sharing.perform(task, sources, _Threads()))
    except CatervaError as error:
        return _failure(error)
    except TimeoutError:
        return Failed(None, "COMPUTE_DEADLINE is over")


def _failure(error: CatervaError) -> Failed:
    if isinstance(error, Unreachable):
        return Failed(None, f"a worker can't read: {error.detail}")
    if not isinstance(error, HttpError):
        return Failed(error)
    if error.status_code in _CHANGED:
        return Failed(StaleVersion(f"a worker was refused: {error.detail}"))
    kind = WIRE_ERRORS.get(error.kind)
    if kind in (None, Busy, SlowDown):
        return Failed(None, f"a worker was refused: {error.detail}")
    return Failed(from_wire(error.kind, error.detail))
