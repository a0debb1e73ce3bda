"""The tab with the metadata of a dataset."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import blosc2
from starlette.requests import Request

from caterva2.frames import attributes as stored
from caterva2.model import CParams, DatasetInfo
from caterva2.names import split_full
from caterva2.pages import attributes, figures
from caterva2.pages.levels import directory
from caterva2.web.reader import Dataset

_SPLIT = {1: "always", 2: "never", 3: "automatic", 4: "as Blosc 1"}


async def view(request: Request, opened: Dataset) -> Mapping[str, Any]:
    """Return what the tab shows."""
    described = opened.info
    own: DatasetInfo | None = described
    if described.kind == "file":  # it may hold datasets, and have attributes as a group
        root, below = split_full(request.path_params["path"])
        own = await directory.own_description(request, root, below)
    return {
        "attributes": attributes.shown(own),
        "metalayers": attributes.metalayers(described),
        "dims": stored.dims(described) if described.kind == "array" else (),
        "codec": _codec(described.cparams),
        "filters": _filters(described.cparams),
        "split": _SPLIT.get(described.cparams.splitmode, "unknown"),
        "grid": _grid(described),
        "ratio": figures.ratio(nbytes(described), described.cbytes),
    }


def nbytes(described: DatasetInfo) -> int:
    """Return the bytes of the values, without the padding to whole chunks."""
    if described.kind != "array":
        return described.nbytes
    return math.prod(described.shape) * described.typesize


def _grid(described: DatasetInfo) -> tuple[int, ...]:
    if 0 in described.shape:
        return tuple(0 for _ in described.shape)
    pairs = zip(described.shape, described.chunks, strict=True)
    return tuple(math.ceil(size / chunk) for size, chunk in pairs)


def _codec(packing: CParams) -> str:
    try:
        return str(blosc2.Codec(packing.codec).name)
    except ValueError:
        return f"plugin {packing.codec}"


def _filters(packing: CParams) -> list[str]:
    names = []
    for code in packing.filters:
        if code:
            try:
                names.append(blosc2.Filter(code).name)
            except ValueError:
                names.append(f"plugin {code}")
    return names
