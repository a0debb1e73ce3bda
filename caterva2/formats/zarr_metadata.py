"""Metadata of Zarr, versions 2 and 3: what an array is, and where and how its chunks are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import ConfigDict, Field, ValidationError

from caterva2.errors import SourceCorrupt
from caterva2.formats import codecs, zarr_dtypes
from caterva2.formats.codecs import Config, DType, Pipeline
from caterva2.limits import constants
from caterva2.model import Count, Grid, Model, Shape

METADATA_BYTES = 16 * constants.MIB
"""Bytes of one file of metadata; a group's may describe all arrays below it."""
CODECS = 32
"""Codecs of an array."""
CRC = 4
"""Bytes of a checksum behind the index of a shard."""


class _Json(Model):
    model_config = ConfigDict(allow_inf_nan=True)


class _Version2(_Json):
    zarr_format: Literal[2]
    shape: Shape
    chunks: Grid
    dtype: Any
    compressor: dict[str, Any] | None = None
    fill_value: Any = None
    order: Literal["C", "F"] = "C"
    filters: Annotated[list[dict[str, Any]], Field(max_length=CODECS)] | None = None
    dimension_separator: Literal[".", "/"] = "."


_Name = Annotated[str, Field(max_length=100)]


class _Named(_Json):
    name: _Name
    configuration: dict[str, Any] = {}


class _Version3(_Json):
    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: Shape
    data_type: _Name | _Named
    chunk_grid: _Named
    chunk_key_encoding: _Named | _Name
    fill_value: Any
    codecs: Annotated[tuple[_Named | _Name, ...], Field(max_length=CODECS)]
    attributes: dict[str, Any] = {}
    dimension_names: tuple[str | None, ...] | None = None
    storage_transformers: tuple[Any, ...] = ()


class _Node(_Json):
    node_type: Literal["array", "group"]


class _Sharding(_Json):
    chunk_shape: tuple[Count, ...]
    codecs: Annotated[tuple[_Named | _Name, ...], Field(max_length=CODECS)]
    index_codecs: Annotated[tuple[_Named | _Name, ...], Field(max_length=2)]
    index_location: Literal["start", "end"] = "end"


M = TypeVar("M", bound=_Json)


@dataclass(frozen=True, slots=True)
class Shards:
    """How many chunks lie in one stored object, along each axis, and where its index is.

    The index has the offset and the size of each chunk, and a checksum behind it if ``checked``.
    """

    per: tuple[int, ...]
    at_end: bool
    checked: bool

    @property
    def count(self) -> int:
        return int(np.prod(self.per, dtype=np.int64))

    @property
    def index_bytes(self) -> int:
        return 16 * self.count + CRC * self.checked


@dataclass(frozen=True, slots=True)
class ArrayMetadata:
    """An array of either version.

    ``chunks`` is the shape of what ``pipeline`` decodes; ``fill`` is the item that stands
    where nothing is stored, and ``has_fill`` tells whether the metadata says so.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    pipeline: Pipeline
    fill: bytes
    prefix: str
    separator: str
    shards: Shards | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dims: tuple[str | None, ...] | None = None
    is_version2: bool = False
    has_fill: bool = True

    @property
    def dtype(self) -> DType:
        return self.pipeline.dtype

    def key(self, position: Sequence[int]) -> str:
        """Return the name, below the array, of the object at a place of the grid of objects."""
        numbers = [str(n) for n in position]
        if self.prefix:
            return self.separator.join([self.prefix, *numbers])
        return self.separator.join(numbers) or "0"


def is_array(text: bytes) -> bool:
    """Return whether a ``zarr.json`` is of an array; otherwise it is of a group.

    Raises
    ------
    SourceCorrupt
        If it is neither.
    """
    return _parsed(_Node, text).node_type == "array"


def attributes(text: bytes) -> dict[str, Any]:
    """Return the attributes of version 2.

    Raises
    ------
    SourceCorrupt
        If they can't be read.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceCorrupt(f"its attributes can't be read: {error}") from None
    if not isinstance(found, dict):
        raise SourceCorrupt("its attributes are not a JSON object")
    return found


def version2(text: bytes, given: Mapping[str, Any]) -> ArrayMetadata:
    """Return an array of version 2.

    Parameters
    ----------
    text : bytes
        Its ``.zarray``.
    given : mapping
        Its attributes.

    Raises
    ------
    SourceCorrupt
        If it makes no sense, or needs what is not known.
    """
    found = _parsed(_Version2, text)
    dtype = zarr_dtypes.version2(found.dtype)
    named = [*(found.filters or []), *([found.compressor] if found.compressor else [])]
    items = [(str(item.get("id")), _without_id(item)) for item in named]
    axes = tuple(range(len(found.shape)))
    order = axes[::-1] if found.order == "F" else axes
    _check_rank(found.shape, found.chunks)
    return ArrayMetadata(
        shape=found.shape, chunks=found.chunks, pipeline=codecs.pipeline(dtype, items, order),
        fill=zarr_dtypes.fill(found.fill_value, dtype), prefix="",
        separator=found.dimension_separator, attributes=given,
        dims=_names(given.get("_ARRAY_DIMENSIONS"), len(axes)),
        is_version2=True, has_fill=found.fill_value is not None,
    )  # fmt: skip


def _without_id(config: Config) -> Config:
    return {key: value for key, value in config.items() if key != "id"}


def _names(dims: Any, ndim: int) -> tuple[str, ...] | None:
    fit = isinstance(dims, list) and len(dims) == ndim and all(isinstance(d, str) for d in dims)
    return tuple(dims) if fit else None


def _check_rank(shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    if len(chunks) != len(shape) or 0 in chunks:
        raise SourceCorrupt(f"its chunks {chunks} do not fit its shape {shape}")


def version3(text: bytes) -> ArrayMetadata:
    """Return an array of version 3 by its ``zarr.json``.

    Raises
    ------
    SourceCorrupt
        If it makes no sense, or needs what is not known.
    """
    found = _parsed(_Version3, text)
    if found.storage_transformers or found.chunk_grid.name != "regular":
        raise SourceCorrupt(f"it has a grid that is not known: {found.chunk_grid.name!r}")
    grid = _parsed_grid(found.chunk_grid.configuration, found.shape)
    data_type, encoding = _named(found.data_type), _named(found.chunk_key_encoding)
    if encoding.name not in ("default", "v2"):
        raise SourceCorrupt(f"it has an encoding of keys that is not known: {encoding.name!r}")
    items = [_named(item) for item in found.codecs]
    shards, chunks = None, grid
    if items and items[0].name == "sharding_indexed":
        if len(items) > 1:
            raise SourceCorrupt("its shards are stored by other codecs")
        sharding = _validated(_Sharding, items[0].configuration)
        items, chunks = [_named(item) for item in sharding.codecs], sharding.chunk_shape
        shards = _shards(sharding, grid)
    pipeline = _pipeline(data_type, items, len(grid))
    return ArrayMetadata(
        shape=found.shape, chunks=chunks, pipeline=pipeline,
        fill=zarr_dtypes.fill(found.fill_value, pipeline.dtype),
        prefix="c" if encoding.name == "default" else "",
        separator="/" if _separator(encoding) == "/" else ".", shards=shards,
        attributes=found.attributes, dims=found.dimension_names,
    )  # fmt: skip


def _separator(encoding: _Named) -> Any:
    return encoding.configuration.get("separator", "/" if encoding.name == "default" else ".")


def _parsed_grid(config: Config, shape: tuple[int, ...]) -> tuple[int, ...]:
    given = config.get("chunk_shape")
    if not isinstance(given, list) or not all(type(n) is int and 0 < n < 2**62 for n in given):
        raise SourceCorrupt("its grid has no shape of chunks")
    _check_rank(shape, tuple(given))
    return tuple(given)


def _shards(sharding: _Sharding, grid: tuple[int, ...]) -> Shards:
    inner = sharding.chunk_shape
    if len(inner) != len(grid) or any(not n or m % n for n, m in zip(inner, grid, strict=True)):
        raise SourceCorrupt(f"its shards {grid} do not consist of whole chunks {inner}")
    names = [_named(item).name for item in sharding.index_codecs]
    endian = _named(sharding.index_codecs[0]).configuration.get("endian", "little") if names else ""
    if names not in (["bytes"], ["bytes", "crc32c"]) or endian != "little":
        raise SourceCorrupt(f"the index of its shards has codecs that are not known: {names}")
    made = Shards(
        tuple(m // n for n, m in zip(inner, grid, strict=True)),
        sharding.index_location == "end", len(names) > 1,
    )  # fmt: skip
    if made.count > constants.CHUNK_COUNT:
        raise SourceCorrupt(f"its shards have {made.count} chunks each, too many")
    return made


def _pipeline(data_type: _Named, items: list[_Named], ndim: int) -> Pipeline:
    order = tuple(range(ndim))
    if items and items[0].name == "transpose":
        given = items.pop(0).configuration.get("order")
        if not isinstance(given, list) or sorted(given) != list(order):
            raise SourceCorrupt("its codec transpose has no order of the axes")
        order = tuple(given)
    names = [item.name.removeprefix("numcodecs.") for item in items]
    at = names.index("bytes") if "bytes" in names else -1
    if at < 0:
        raise SourceCorrupt(f"its codecs are not known: {', '.join(names)[:100]}")
    endian = items.pop(at).configuration.get("endian", "little")
    del names[at]
    dtype = zarr_dtypes.version3(data_type.name, data_type.configuration, endian)
    named = [(name, item.configuration) for name, item in zip(names, items, strict=True)]
    return codecs.pipeline(dtype, named, order)


def _named(item: _Named | str) -> _Named:
    return _Named(name=item) if isinstance(item, str) else item


def _parsed(model: type[M], text: bytes) -> M:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise _senseless(error) from None


def _validated(model: type[M], value: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(value, strict=False)
    except ValidationError as error:
        raise _senseless(error) from None


def _senseless(error: ValidationError) -> SourceCorrupt:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return SourceCorrupt(f"its metadata makes no sense: {where} {first['msg']}"[:300])
