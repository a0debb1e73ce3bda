"""Reads by path: values of a dataset whose shape is not known yet, in one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from caterva2.arrays import selection
from caterva2.client.errors import HttpError
from caterva2.client.read import frames, stream
from caterva2.client.read.frames import Frame
from caterva2.client.transport import Response, Transport
from caterva2.errors import BadSelection
from caterva2.rest import paths
from caterva2.rest.paths import relative
from caterva2.runtime.retry import retry_stale


class Opened(Protocol):
    """A file or dataset whose shape is known."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def fetch(self, slice_: Any = None) -> Any: ...
    def slice(self, slice_: Any = None) -> Frame: ...


def fetch(transport: Transport, path: str, key: Any, opened: Callable[[], Opened]) -> Any:
    """Read values: an array or scalar, or the bytes of a file.

    Parameters
    ----------
    transport : Transport
    path : str
    key : numpy key, optional
    opened : callable
        Opens the dataset, if the key needs its shape or takes several requests.
    """
    if transport.kept.active:
        return opened().fetch(key)
    try:
        found = retry_stale(lambda: _fetch(transport, path, key), tries=transport.limits.tries)
    except (BadSelection, TypeError, HttpError) as error:
        if not _needs_shape(error, key):
            raise
        return opened()[key]
    entries = key if isinstance(key, tuple) else (key,)
    if isinstance(found, bytes) or found.shape or any(entry is Ellipsis for entry in entries):
        return found
    return found[()]  # a scalar, as numpy gives it


def frame(transport: Transport, path: str, key: Any, opened: Callable[[], Opened]) -> Frame:
    """Read a slice as a Blosc2 object; the parameters are those of `fetch`."""
    if transport.kept.active:
        return opened().slice(key)
    try:
        with transport.ask(relative(paths.FETCH, path), _parameters(key)) as response:
            return frames.parse(response.content())
    except (BadSelection, TypeError, HttpError) as error:
        if not _needs_shape(error, key):
            raise
        return opened().slice(key)


def _fetch(transport: Transport, path: str, key: Any) -> Any:
    def values(response: Response) -> Any:
        if not stream.is_stream(response):
            return frames.decode(frames.parse(response.content()))
        found, kind = stream.Reader(response).all_of(() if key is None else key)
        return found if kind == "array" else found.tobytes()

    return stream.read(transport, path, _parameters(key), values)


def _parameters(key: Any) -> dict[str, str]:
    text = selection.to_string(key)
    return {"slice_": text} if text else {}


def _needs_shape(error: Exception, key: Any) -> bool:
    """Whether the key is more than integers and slices, or selects too much for one answer."""
    return not isinstance(error, HttpError) or (error.status_code == 413 and key is not None)
