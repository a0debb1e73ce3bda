"""Attributes of arrays of other formats, as the vlmeta of the datasets that are served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from caterva2.errors import SourceCorrupt
from caterva2.frames import metadata
from caterva2.limits import constants
from caterva2.sources.layout import Refused

NAME_BYTES = 31
"""BLOSC2_METALAYER_NAME_MAXLEN"""


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
