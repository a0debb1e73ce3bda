"""Attributes of other formats: with their types, and as the vlmeta of the datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from caterva2.errors import CatervaError, SourceCorrupt
from caterva2.frames import attributes as typed_attributes
from caterva2.frames import metadata
from caterva2.limits import constants
from caterva2.sources.layout import Refused

NAME_BYTES = 31
"""BLOSC2_METALAYER_NAME_MAXLEN"""
UNREADABLE = (
    OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError
)  # fmt: skip
"""What reading a damaged value raises."""


def typed(
    attributes: Iterable[tuple[str, Callable[[], Any]]],
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return attributes as ``attrs`` of a description, and why others are left out, by names.

    Parameters
    ----------
    attributes : iterable of (str, callable)
        Names, and functions that read the values, see `arrays.attributes`.
    """
    kept: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    room = constants.ATTRS_BYTES
    for name, value in attributes:
        try:
            size = _length(name)
            if len(kept) >= constants.ATTRS_ITEMS:
                raise Refused(f"is one more than ATTRS_ITEMS, {constants.ATTRS_ITEMS}")
            item = _packed(value)
            if size + len(item) > room:
                raise Refused(f"takes more than is left of ATTRS_BYTES, {constants.ATTRS_BYTES}")
        except CatervaError as reason:
            refused[name] = reason.detail
        else:
            room -= size + len(item)
            kept[name] = item
        if len(refused) >= constants.ATTRS_ITEMS:
            refused["..."] = "is one of many more"
            break
    return kept, refused


def _packed(value: Callable[[], Any]) -> bytes:
    try:
        found = value()
    except UNREADABLE as error:
        raise Refused(f"can't be read: {error}") from None
    try:
        return typed_attributes.pack(found)
    except (TypeError, ValueError) as error:
        raise Refused(str(error)) from None


def _length(name: str) -> int:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Refused("has a name that is not valid Unicode") from None
    if not size:
        raise Refused("has no name")
    return size


def packed(attributes: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return plain attributes as vlmeta, and the reasons why others are left out, by their names.

    Numpy's scalars and arrays become numbers, texts and lists.
    """
    kept: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    size = 0
    for name, value in attributes.items():
        try:
            _check_name(name, len(kept))
            item = metadata.encode(_plain(value))
            if size + len(item) > constants.VLMETA_BYTES // 2:
                raise Refused(f"takes {len(item)} bytes more than fit")
            metadata.decode(item)
        except (Refused, SourceCorrupt) as error:
            refused[name] = error.detail
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            refused[name] = f"is no plain value: {error}"
        else:
            size += len(item)
            kept[name] = item
        if len(refused) >= constants.VLMETA_ITEMS:
            refused["..."] = "is one of many more"
            break
    return kept, refused


def _check_name(name: str, count: int) -> None:
    if not 0 < len(name.encode("utf-8", "surrogateescape")) <= NAME_BYTES:
        raise Refused(f"has a name that vlmeta can't hold: it takes 1 to {NAME_BYTES} bytes")
    if count >= constants.VLMETA_ITEMS - 1:
        raise Refused("is one too many")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.astype(str).tolist() if value.dtype.kind in "Mm" else value.tolist()
    return value
