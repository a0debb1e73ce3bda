"""What a dataset looks like, to be read by people; nothing of it needs the network."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import blosc2
import numpy as np

from caterva2.arrays import dtypes
from caterva2.runtime.printable import printable


def human(nbytes: int) -> str:
    """Format a number of bytes, such as ``1.5 MiB``."""
    if nbytes < 1024:
        return f"{nbytes} B"
    power = min(int(math.log2(nbytes)) // 10, 6)
    return f"{nbytes / 1024**power:.1f} {'KMGTPE'[power - 1]}iB"


class Info(Mapping[str, str]):
    """Facts by their names, which show themselves as a table.

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


class FileDescription:
    """What is known of a byte string without asking for it.

    Parameters
    ----------
    path : str
        With the root.
    meta : dict
        The subscriber's answer to ``info``.

    Attributes
    ----------
    path : PurePosixPath
        With the root.
    root : str
    name : str
        Path relative to the root.
    """

    def __init__(self, path: str, meta: dict[str, Any]) -> None:
        self.path = PurePosixPath(path)
        self.root, _, self.name = path.partition("/")
        self._meta = meta

    @property
    def meta(self) -> dict[str, Any]:
        """All that the subscriber told."""
        return self._meta

    @property
    def kind(self) -> str:
        """``array``, ``frame`` or ``file``."""
        return str(self.meta.get("kind", "array" if "shape" in self.meta else "frame"))

    @property
    def _schunk(self) -> dict[str, Any]:
        schunk: dict[str, Any] = self.meta.get("schunk", self.meta)
        return schunk

    @property
    def vlmeta(self) -> Mapping[str, Any]:
        """User attributes, to be read only."""
        return MappingProxyType(self._schunk.get("vlmeta", {}))

    @property
    def attrs(self) -> Mapping[str, Any]:
        """The same as `vlmeta`."""
        return self.vlmeta

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return int(self._schunk["nbytes"])

    @property
    def cbytes(self) -> int:
        """Bytes of the values as they are stored, compressed."""
        return int(self._schunk["cbytes"])

    @property
    def cratio(self) -> float:
        """How much smaller they are stored; 0 if that is not known."""
        return self.nbytes / self.cbytes if self.cbytes else 0.0

    @property
    def info(self) -> Info:
        """A table of what is known."""
        return Info(self._facts())

    def _facts(self) -> dict[str, object]:
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
    """What is known of an array without asking for it."""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.meta["shape"])

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk, which is the least that is fetched from a publisher."""
        return tuple(self.meta["chunks"])

    @property
    def blocks(self) -> tuple[int, ...]:
        """Shape of a block, which is the least that is decompressed."""
        return tuple(self.meta["blocks"])

    @property
    def dtype(self) -> np.dtype[Any]:
        return dtypes.parse(self.meta["dtype"])

    @property
    def ndim(self) -> int:
        return len(self.meta["shape"])

    @property
    def size(self) -> int:
        """Number of items."""
        return math.prod(self.meta["shape"])

    @property
    def nbytes(self) -> int:
        """Bytes of the values, as numpy counts them: without what fills up chunks."""
        return self.size * self.dtype.itemsize

    @property
    def expression(self) -> str:
        """What it is computed of whenever it is read; empty if it is stored."""
        return str(self.meta.get("expression", ""))

    @property
    def operands(self) -> Mapping[str, PurePosixPath]:
        """The paths of the datasets that the names in the expression mean."""
        return {name: PurePosixPath(path) for name, path in self.meta.get("operands", {}).items()}

    def _geometry(self) -> dict[str, object]:
        geometry: dict[str, object] = {
            "shape": self.shape, "dtype": self.dtype, "chunks": self.chunks, "blocks": self.blocks
        }  # fmt: skip
        if self.expression:
            named = ", ".join(f"{name}: {path}" for name, path in self.operands.items())
            geometry |= {"expression": self.expression, "operands": named}
        return geometry

    def __repr__(self) -> str:
        shown = printable(f"{self.path} {self.shape} {self.dtype}")
        return f"<{type(self).__name__}: {shown}>"


def _codec(cparams: Mapping[str, Any]) -> str:
    """Codec, level and filters in words."""
    try:
        codec = blosc2.Codec(cparams["codec"]).name.lower()
        filters = [blosc2.Filter(n).name.lower() for n in cparams["filters"] if n]
        return ", ".join([f"{codec} level {cparams['clevel']}", *filters])
    except (KeyError, ValueError, TypeError):
        return "unknown"
