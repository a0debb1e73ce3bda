"""Descriptions of datasets: answers of ``info`` and ``members``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from caterva2.rest.attributes import Attribute, Attributes
from caterva2.rest.errors import Error
from caterva2.rest.shapes import Count, Time, closed
from caterva2.rest.values.dtypes import DType

Sizes = list[Count]

_OddKey = TypedDict("_OddKey", {"filters, meta": list[list[int]]})


@closed
class CParams(_OddKey):
    """Compression parameters: all but ``filters, meta`` are arguments of `blosc2.CParams`."""

    codec: int
    codec_meta: int
    clevel: int
    filters: list[int]
    filters_meta: list[int]
    typesize: int
    blocksize: int
    nthreads: int
    splitmode: int
    tuner: int
    use_dict: bool


class _Stored(TypedDict):
    cbytes: Annotated[Count, Field(description="stored bytes at the publisher")]
    chunkshape: Annotated[Count, Field(description="items of a chunk")]
    chunksize: Annotated[Count, Field(description="bytes of a chunk")]
    contiguous: Literal[True]
    cparams: CParams
    cratio: float
    nbytes: Annotated[Count, Field(description="decompressed bytes, padding included")]
    urlpath: None
    vlmeta: dict[str, Any]
    nchunks: Count
    blocksize: Annotated[Count, Field(description="bytes of a block")]


@closed
class Cached(TypedDict):
    """The part of a dataset that this subscriber has."""

    nchunks: Count
    cbytes: Count


class Version(TypedDict):
    """The part of a description that all datasets have."""

    kind: Literal["array", "frame", "file"]
    etag: Annotated[str, Field(description="the version: it differs whenever the content does")]
    attrs: Annotated[
        Attributes | None,
        Field(description="null of a file that holds datasets while they can't be fetched"),
    ]
    metalayers: Annotated[
        dict[str, Attribute],
        Field(description="typed values of the metalayers that users made in a frame"),
    ]
    cached: NotRequired[Cached]


class Grid(TypedDict):
    """The part of an array's description that computed arrays have too."""

    shape: Sizes
    chunks: Sizes
    blocks: Sizes
    dtype: str
    dtype_json: Annotated[DType, Field(description="the dtype, whose fields are objects")]
    dims: Annotated[
        list[str | None],
        Field(description="names of the dimensions, null for one without; empty if none is known"),
    ]
    schunk: SChunk
    mtime: Time


@closed
class SChunk(_Stored):
    """The super-chunk of an array."""

    mtime: None


@closed
class Array(Grid, Version):
    """An array."""

    accept_ranges: Literal["bytes"]


@closed
class Computed(Grid, Version):
    """An array that is computed of others whenever it is read."""

    accept_ranges: Literal["none"]
    expression: str
    operands: dict[str, str]
    """``ROOT/PATH`` by the names in the expression."""


class TableParts(TypedDict, total=False):
    """The part of a description that only tables have."""

    columns: Annotated[list[str], Field(description="the columns of a table, in their order")]
    nrows: Annotated[
        Count | None, Field(description="its rows but for deleted ones; null if not known")
    ]


class Holding(TypedDict, total=False):
    """The part of a description that only files have that hold datasets."""

    nfiles: Annotated[Count, Field(description="the number of datasets in it")]


@closed
class Bytes(_Stored, Version, TableParts, Holding):
    """A byte string: a frame or a plain file; a file may hold datasets, or a table."""

    mtime: Time
    accept_ranges: Literal["bytes"]


@closed
class Undescribed(TypedDict):
    """A dataset that can't be described now."""

    error: Error


Description = Array | Bytes | Computed
Member = Description | Undescribed


@closed
class Members(TypedDict):
    """Descriptions of the datasets of a root or directory."""

    members: dict[str, Member]
    """By their paths relative to it, in order."""
    after: str | None
    """The parameter ``after`` of the next page; null on the last one."""


@closed
class Branch(TypedDict):
    """A directory on a level, or a file that holds datasets."""

    datasets: Count
    """All that lie below it."""
    size: Count
    """Their stored bytes."""


@closed
class Totals(TypedDict):
    """The numbers of all directories and datasets on a level."""

    groups: Count
    datasets: Count


@closed
class OneLevel(TypedDict):
    """A page of the members of a root or directory: directories, then datasets."""

    groups: dict[str, Branch]
    """By their names, in order."""
    members: dict[str, Member]
    """By their names, in order. A file that holds datasets is among the groups, too."""
    total: Totals
    after: str | None
    """The parameter ``after`` of the next page; null on the last one."""


# --- metadata of Zarr, as far as readers need to know of it ---


class Note(TypedDict):
    """What Caterva2 says of an array or group, among its attributes."""

    etag: str
    """The version of an array, or the generation of a root."""
    pinned: str
    """Path of this version below ``/zarr/`` and ``/zarr2/``."""


@closed
class Array3(TypedDict):
    """The ``zarr.json`` of an array."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: list[Count]
    data_type: str | dict[str, Any]
    chunk_grid: dict[str, Any]
    chunk_key_encoding: dict[str, Any]
    fill_value: Any
    codecs: list[dict[str, Any]]
    attributes: dict[str, Any]
    dimension_names: NotRequired[list[str | None]]


@closed
class Group3(TypedDict):
    """The ``zarr.json`` of a group."""

    zarr_format: Literal[3]
    node_type: Literal["group"]
    attributes: dict[str, Any]
    consolidated_metadata: NotRequired[dict[str, Any]]
    """The metadata of all that is in it, unless that is too much."""


Document3 = Array3 | Group3
Document2 = dict[str, Any]
"""``.zarray``, ``.zgroup``, ``.zattrs`` or ``.zmetadata``."""
