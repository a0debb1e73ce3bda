"""Parts of datasets saved as files, in bounded memory and all of one version."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import blosc2
import numpy as np

from caterva2.arrays import selection
from caterva2.client.read import frames, keys
from caterva2.client.read import values as reading
from caterva2.client.read.region import Region
from caterva2.client.read.values import Source
from caterva2.client.transport import Transport
from caterva2.errors import BadName
from caterva2.runtime import durable


def save(
    transport: Transport, source: Source, key: Any,
    localpath: str | os.PathLike[str] | BinaryIO, attrs: Mapping[str, Any],
) -> Path | None:  # fmt: skip
    """Save a part of one version of an array as a ``.b2nd`` file, where it appears when complete.

    Parameters
    ----------
    transport : Transport
    source : Source
    key : numpy key
    localpath : path or binary file
        A file, or a directory, in which it gets the dataset's name.
    attrs : mapping
        The dataset's attributes, which the part gets too.

    Raises
    ------
    StaleVersion
        If the dataset has another version.
    """
    if not isinstance(localpath, str | os.PathLike):
        found = _frame(transport, source, key)
        _describe(found, attrs)
        localpath.write(found.to_cframe())
        return None
    target = Path(localpath)
    if target.is_dir() or str(localpath).endswith("/"):
        target /= Path(source.path).name
    if target.is_dir():
        raise BadName(f"{target} is a directory, which a file does not replace")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{secrets.token_hex(8)}.part.b2nd")  # others may save beside it
    try:
        _write(transport, source, key, part)
        if attrs:
            _describe(blosc2.open(str(part), mode="a"), attrs)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    durable.sync_directory(target.parent)
    return target


def _describe(array: blosc2.NDArray, attrs: Mapping[str, Any]) -> None:
    """Give an array attributes, as plain values; those that are no plain values are left out."""
    for name, value in attrs.items():
        plain = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            array.schunk.vlmeta[name] = plain


def _frame(transport: Transport, source: Source, key: Any) -> blosc2.NDArray:
    chosen = keys.layout(key, source.shape)
    if chosen.is_empty:
        return frames.pack(np.empty(chosen.shape, source.dtype))
    found = chosen.arrange(reading.values(transport, source, chosen.region))
    return frames.pack(np.asarray(found, source.dtype))


def _write(transport: Transport, source: Source, key: Any, target: Path) -> None:
    """Write a part: a large one by pieces of whole chunks."""
    chosen = keys.layout(key, source.shape)
    plain, itemsize = chosen.region.selection, source.dtype.itemsize
    window = transport.limits.window
    is_plain = not chosen.region.is_fancy and chosen.shape == chosen.region.result_shape
    if not is_plain or plain.size * itemsize <= window:
        target.write_bytes(_frame(transport, source, key).to_cframe())
        return
    along = zip(source.chunks, plain.axes, strict=True)
    chunks = tuple(min(chunk, len(axis)) for chunk, axis in along if isinstance(axis, range))
    array = blosc2.empty(chosen.shape, source.dtype, chunks=chunks, urlpath=str(target), mode="w")
    max_chunks = max(1, window // (math.prod(source.chunks) * itemsize))
    for piece, where in selection.split(plain, source.chunks, max_chunks):
        region = Region(source.shape, piece.axes)
        array[where] = reading.values(transport, source, region)
