"""Descriptions of files and arrays, out of their metadata and without requests."""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import blosc2
import numpy as np

from caterva2.arrays import dtypes
from caterva2.client.attributes import known
from caterva2.client.errors import unreadable
from caterva2.runtime.printable import printable


def human(nbytes: int) -> str:
    """Format a number of bytes, such as ``1.5 MiB``."""
    if nbytes < 1024:
        return f"{nbytes} B"
    power = min(int(math.log2(nbytes)) // 10, 6)
    return f"{nbytes / 1024**power:.1f} {'KMGTPE'[power - 1]}iB"


class Info(Mapping[str, str]):
    """Facts by their names, shown as a table in terminals and notebooks.

    Parameters
    ----------
    facts : mapping of str to object
    """

    def __init__(self, facts: Mapping[str, object]) -> None:
        self._facts = {printable(name): printable(str(fact)) for name, fact in facts.items()}

    def __getitem__(self, name: str) -> str:
        return self._facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __repr__(self) -> str:
        width = max(map(len, self._facts), default=0)
        return "\n".join(f"{name:<{width}} : {fact}" for name, fact in self._facts.items())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(fact)}</td></tr>"
            for name, fact in self._facts.items()
        )
        return f"<table>{rows}</table>"


class Named:
    """The place and the metadata of a directory, a byte string or an array.

    Parameters
    ----------
    path : str
        With the root.
    meta : dict
        As the subscriber returns it.

    Attributes
    ----------
    root : str
    name : str
        Path relative to the root.
    """

    def __init__(self, path: str, meta: dict[str, Any]) -> None:
        self._path = path
        self.root, _, self.name = path.partition("/")
        self._meta = meta

    @functools.cached_property
    def path(self) -> PurePosixPath:
        """Path with the root."""
        return PurePosixPath(self._path)

    @property
    def meta(self) -> dict[str, Any]:
        """All metadata from the subscriber."""
        return self._meta


class FileDescription(Named):
    """The metadata of a byte string."""

    @property
    def kind(self) -> str:
        """``array``, ``frame``, ``file``, or ``unreadable`` if only an error is known."""
        if "error" in self.meta:
            return "unreadable"
        return str(self.meta.get("kind", "array" if "shape" in self.meta else "frame"))

    @property
    def _schunk(self) -> dict[str, Any]:
        if "error" in self.meta:
            raise unreadable(self.meta["error"])
        schunk: dict[str, Any] = self.meta.get("schunk", self.meta)
        return schunk

    @property
    def vlmeta(self) -> Mapping[str, Any]:
        """User attributes as plain JSON, read only."""
        return MappingProxyType(self._schunk.get("vlmeta", {}))

    @property
    def metalayers(self) -> Mapping[str, Any]:
        """The fixed metadata of a frame that users made, with its types, read only."""
        return known(self.path, self.meta.get("metalayers", {}))

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Typed attributes, read only; those of `vlmeta` where the subscriber is an older one."""
        return known(self.path, self.meta["attrs"]) if "attrs" in self.meta else self.vlmeta

    @property
    def nbytes(self) -> int:
        """Bytes of the values, uncompressed."""
        return int(self._schunk["nbytes"])

    @property
    def cbytes(self) -> int:
        """Bytes of the stored values, compressed."""
        return int(self._schunk["cbytes"])

    @property
    def cratio(self) -> float:
        """Compression ratio, ``nbytes / cbytes``; 0 if unknown."""
        return self.nbytes / self.cbytes if self.cbytes else 0.0

    @property
    def info(self) -> Info:
        """The metadata as a table."""
        return Info(self._facts())

    def _facts(self) -> dict[str, object]:
        if "error" in self.meta:
            error = self.meta["error"].get("detail", "")
            return {"path": self.path, "kind": self.kind, "error": error}
        cached, nchunks = self.meta.get("cached", {}), self._schunk.get("nchunks")
        facts: dict[str, object] = {"path": self.path, "kind": self.kind}
        facts |= self._geometry()
        if "expression" in self.meta:
            facts["size"] = f"{human(self.nbytes)}, computed when it is read"
        else:
            stored = f"{human(self.cbytes)} stored ({self.cratio:.1f}x)"
            facts["size"] = f"{human(self.nbytes)}, {stored}"
            facts["codec"] = _codec(self._schunk.get("cparams", {}))
            facts["cached"] = f"{cached.get('nchunks', 0)} of {nchunks} chunks"
        facts["modified"] = self.meta.get("mtime")
        return facts | {f"vlmeta.{name}": repr(value) for name, value in self.vlmeta.items()}

    def _geometry(self) -> dict[str, object]:
        return {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {printable(str(self.path))}>"

    def _repr_html_(self) -> str:
        return f"<b>{html.escape(type(self).__name__)}</b>{self.info._repr_html_()}"


class ArrayDescription(FileDescription):
    """The metadata of an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Items along each axis."""
        return tuple(self.meta["shape"])

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk, the unit of the subscriber's cache."""
        return tuple(self.meta["chunks"])

    @property
    def blocks(self) -> tuple[int, ...]:
        """Shape of a block, the unit of decompression."""
        return tuple(self.meta["blocks"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the items."""
        return dtypes.parse(self.meta["dtype"])

    @property
    def dims(self) -> tuple[str | None, ...]:
        """Names of the dimensions, None for one without; empty if none is known."""
        return tuple(self.meta.get("dims", ()))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.meta["shape"])

    @property
    def size(self) -> int:
        """Number of items."""
        return math.prod(self.meta["shape"])

    @property
    def nbytes(self) -> int:
        """Bytes of the values as numpy counts them, without the padding of chunks."""
        return self.size * self.dtype.itemsize

    @property
    def cparams(self) -> blosc2.CParams:
        """Compression parameters of the chunks."""
        given = self._schunk["cparams"]
        return blosc2.CParams(
            codec=blosc2.Codec(given["codec"]), codec_meta=given["codec_meta"],
            clevel=given["clevel"], typesize=given["typesize"],
            filters=[blosc2.Filter(code) for code in given["filters"]],
            filters_meta=given["filters_meta"], splitmode=blosc2.SplitMode(given["splitmode"]),
        )  # fmt: skip

    @property
    def stamp(self) -> str:
        """The known version, by which `blosc2.Proxy` checks a cache that was kept."""
        return str(self.meta.get("etag", ""))

    @property
    def expression(self) -> str:
        """The expression that it is computed by; empty if it is stored."""
        return str(self.meta.get("expression", ""))

    @property
    def operands(self) -> Mapping[str, PurePosixPath]:
        """Paths of the datasets that the names in the expression stand for."""
        return {name: PurePosixPath(path) for name, path in self.meta.get("operands", {}).items()}

    def _geometry(self) -> dict[str, object]:
        geometry: dict[str, object] = {
            "shape": self.shape, "dtype": self.dtype, "chunks": self.chunks, "blocks": self.blocks
        }  # fmt: skip
        if self.dims:
            geometry["dims"] = ", ".join(name or "-" for name in self.dims)
        if self.expression:
            named = ", ".join(f"{name}: {path}" for name, path in self.operands.items())
            geometry |= {"expression": self.expression, "operands": named}
        return geometry

    def __repr__(self) -> str:
        shown = printable(f"{self.path} {self.shape} {self.dtype}")
        return f"<{type(self).__name__}: {shown}>"


def _codec(cparams: Mapping[str, Any]) -> str:
    """Name codec, level and filters."""
    try:
        codec = blosc2.Codec(cparams["codec"]).name.lower()
        filters = [blosc2.Filter(n).name.lower() for n in cparams["filters"] if n]
        return ", ".join([f"{codec} level {cparams['clevel']}", *filters])
    except (KeyError, ValueError, TypeError):
        return "unknown"
