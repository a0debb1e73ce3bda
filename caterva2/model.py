"""Data model: roots, catalog entries, descriptions of datasets, events.

All classes are frozen. Data from outside is validated when it arrives.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    model_validator,
)

from caterva2 import limits
from caterva2.limits import constants
from caterva2.names import DatasetPath, RootName, check_etag, user_metalayers

Kind = Literal["array", "frame", "file", "group"]
"""What an entry is: a dataset of one of three kinds, or the description of a directory."""


class Model(BaseModel):
    """Base of data that arrives from outside: frozen, strict, unknown keys are ignored."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


def _root(value: object) -> RootName:
    if not isinstance(value, str):
        raise ValueError("a root's name is a string")
    return RootName(value)


def _path(value: object) -> DatasetPath:
    if not isinstance(value, str):
        raise ValueError("a path is a string")
    return DatasetPath(value)


def _with_port(endpoint: str) -> str:
    if not 1 <= int(endpoint.rpartition(":")[2]) <= 65535:
        raise ValueError("a port is 1 to 65535")
    return endpoint


Root = Annotated[RootName, BeforeValidator(_root)]
Path = Annotated[DatasetPath, BeforeValidator(_path)]
Etag = Annotated[str, BeforeValidator(check_etag)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Size32 = Annotated[int, Field(ge=0, lt=2**31)]
Token = Annotated[str, Field(min_length=1, max_length=64)]
"""Opaque name of a process or an agent."""
# Nothing else: ZeroMQ takes more into an endpoint, such as the address to connect from.
_TCP = r"^tcp://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?\]|\*):[0-9]{1,5}$"
Endpoint = Annotated[str, Field(max_length=256, pattern=_TCP), AfterValidator(_with_port)]
Shape = Annotated[tuple[Count, ...], Field(max_length=constants.NDIM)]
MetalayerName = Annotated[str, Field(min_length=1, max_length=constants.METALAYER_NAME)]
DimensionName = Annotated[str, Field(min_length=1, max_length=constants.DIMENSION_NAME)]
ColumnName = Annotated[str, Field(min_length=1, max_length=constants.PATH_LENGTH)]
_TTL_MS = int(limits.DEFAULTS.broker.lease_ttl * 1000)
Rights = Annotated[str, Field(max_length=constants.RIGHTS_LENGTH)]
"""Opaque name of what a publisher says about the readers of its root; empty for everybody."""
Grid = Annotated[tuple[Size32, ...], Field(max_length=constants.NDIM)]


class RootInfo(Model):
    """A root and its publisher.

    ``inst`` names the publisher's process, ``fence`` counts the grants of the root's name: of
    two holders, the one with the higher fence is newer. ``rights`` names what the publisher says
    about its readers, and is empty where everybody may read.
    """

    root: Root
    inst: Token
    fence: Annotated[int, Field(ge=0, lt=constants.FENCE)]
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=8)]
    curve_key: Annotated[str, Field(max_length=64)] = ""
    ttl_ms: Annotated[int, Field(ge=100, le=3_600_000)] = _TTL_MS
    rights: Rights = ""


EntryFields = tuple[str, Kind, str, int, float]
"""The fields of an `Entry` in their order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A dataset in a catalog, or the description of a directory: a group.

    ``size`` is its stored size in bytes, 0 for a group, whose path is that of `names.group_path`.

    A catalog may have a million entries, and a `Model` takes 900 bytes more than this class. The
    constructor checks nothing; messages and files with entries are validated as a whole.
    """

    # pydantic accepts a strict dataclass only as an instance, never as a map of a message.
    __pydantic_config__: ClassVar[ConfigDict] = Model.model_config | {"strict": False}

    path: Path
    kind: Kind
    etag: Etag
    size: Annotated[Count, Strict()]
    mtime: Annotated[float, Strict()]

    def fields(self) -> dict[str, object]:
        """Return the fields by name, as in messages and files."""
        return {name: getattr(self, name) for name in self.__slots__}

    def is_of(self, info: DatasetInfo) -> bool:
        """Return whether a description is of this version of the dataset."""
        return (self.etag, self.kind) == (info.etag, info.kind)

    @classmethod
    def of(cls, fields: EntryFields) -> Self:
        """Make an entry of its fields in their order; raise `BadName` for what is no path."""
        path, kind, etag, size, mtime = fields
        return cls(DatasetPath(path), kind, etag, size, mtime)


Check = Callable[[Entry | None], None]
"""Refuses to change a dataset of this version, or one that does not exist, by raising."""


def any_version(_: Entry | None) -> None:
    """Let every version be changed: the `Check` of a request without a condition."""


class CParams(Model):
    """Compression parameters of a frame, as integers of the Blosc2 format."""

    codec: Annotated[int, Field(ge=0, le=255)] = 5
    codec_meta: Annotated[int, Field(ge=0, le=255)] = 0
    clevel: Annotated[int, Field(ge=0, le=9)] = 1
    filters: Annotated[tuple[int, ...], Field(min_length=6, max_length=6)] = (0, 0, 0, 0, 0, 1)
    filters_meta: Annotated[tuple[int, ...], Field(min_length=6, max_length=6)] = (0,) * 6
    splitmode: Annotated[int, Field(ge=1, le=4)] = 1


class DatasetInfo(Model):
    """Description of one version of a dataset, without its chunks.

    For an array ``shape``, ``chunks`` and ``blocks`` are in items and ``dtype`` is the string
    that Blosc2 stores. For a frame or a plain file they are one-dimensional in bytes, and
    ``dtype`` is empty; a group is a byte string of no bytes. ``vlmeta`` has the stored values, in
    msgpack. ``attrs`` has the typed attributes, as `frames.attributes` packs them, where vlmeta
    can't hold all of them. ``dims`` has the names of an array's dimensions, None for one without,
    and is empty where none is known. ``metalayers`` has those of a frame that users made, in
    msgpack; those with reserved names are dropped. A group that is a table has
    the names of its ``columns`` in their order, and the number of its rows if that is known.
    """

    path: Path
    etag: Etag
    mtime: float
    kind: Kind
    shape: Shape
    chunks: Grid
    blocks: Grid
    dtype: Annotated[str, Field(max_length=constants.DTYPE_LENGTH)] = ""
    typesize: Annotated[int, Field(ge=1, le=constants.ITEMSIZE)] = 1
    chunksize: Annotated[int, Field(ge=0, le=constants.CHUNK_BYTES)]
    blocksize: Annotated[int, Field(ge=0, le=constants.CHUNK_BYTES)]
    nbytes: Count
    cbytes: Count
    cparams: CParams = CParams()
    vlmeta: Annotated[dict[str, bytes], Field(max_length=constants.VLMETA_ITEMS)] = {}
    attrs: Annotated[dict[str, bytes], Field(max_length=constants.ATTRS_ITEMS)] = {}
    dims: Annotated[tuple[DimensionName | None, ...], Field(max_length=constants.NDIM)] = ()
    metalayers: Annotated[
        dict[MetalayerName, bytes],
        Field(max_length=constants.METALAYER_ITEMS),
        AfterValidator(user_metalayers),
    ] = {}
    columns: Annotated[tuple[ColumnName, ...], Field(max_length=constants.TABLE_COLUMNS)] = ()
    nrows: Count | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not len(self.shape) == len(self.chunks) == len(self.blocks):
            raise ValueError("shape, chunks and blocks differ in their number of dimensions")
        if sum(map(len, self.vlmeta.values())) > constants.VLMETA_BYTES:
            raise ValueError(f"vlmeta is larger than {constants.VLMETA_BYTES} bytes")
        if self.dims and len(self.dims) != len(self.shape):
            raise ValueError("dims has another number of dimensions than shape")
        if sum(len(name.encode()) for name in self.columns) > constants.TABLE_BYTES:
            raise ValueError(f"columns take more than TABLE_BYTES, {constants.TABLE_BYTES}")
        if sum(map(len, self.metalayers.values())) > constants.METALAYER_BYTES:
            raise ValueError(f"metalayers are larger than {constants.METALAYER_BYTES} bytes")
        if self.attrs_bytes > constants.ATTRS_BYTES:
            raise ValueError(f"attrs are larger than ATTRS_BYTES, {constants.ATTRS_BYTES}")
        if self.kind == "array":
            self._check_array()
        elif self.chunks != (self.chunksize,) or self.shape != (self.nbytes,):
            raise ValueError("the grid of a byte string is its size in bytes")
        if self.nchunks > constants.CHUNK_COUNT:
            raise ValueError(f"{self.nchunks} chunks are too many")
        return self

    def _check_array(self) -> None:
        if any(
            size > 0 and not 0 < block <= chunk
            for size, chunk, block in zip(self.shape, self.chunks, self.blocks, strict=True)
        ):
            raise ValueError("a block is larger than its chunk, or one of them is empty")
        if 0 in self.shape:
            return
        block_items: int = math.prod(self.blocks)
        if block_items * self.typesize != self.blocksize:
            raise ValueError("blocksize is not the product of the blocks")
        grid = zip(self.chunks, self.blocks, strict=True)
        padded: int = math.prod(-(-chunk // block) * block for chunk, block in grid)
        if padded * self.typesize != self.chunksize:
            raise ValueError("chunksize is not the product of the padded chunk")

    @property
    def nchunks(self) -> int:
        """Number of chunks, 0 if the dataset is empty."""
        if 0 in self.shape:
            return 0
        return math.prod(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def attrs_bytes(self) -> int:
        """Bytes of the typed attributes, with their names."""
        return sum(len(name.encode()) + len(packed) for name, packed in self.attrs.items())

    def chunk_nbytes(self, n: int) -> int:
        """Return the decompressed size of chunk ``n``; the last one of a byte string is shorter."""
        if self.kind == "array":
            return self.chunksize
        return min(self.chunksize, self.nbytes - n * self.chunksize)


@dataclass(frozen=True, slots=True)
class RootStatus:
    """A root in a subscriber's list; ``http`` is its publisher's ``HOST:PORT``."""

    name: RootName
    http: str
    subscribed: bool
    offline: bool


@dataclass(frozen=True, slots=True)
class RootEvent:
    """A root went up, moved to another publisher, or went offline."""

    root: RootName
    state: Literal["up", "offline"]
    http: str


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """A dataset has a new version or was deleted; then the etag is empty."""

    root: RootName
    path: DatasetPath
    op: Literal["put", "delete"]
    etag: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Events were dropped, of this root and maybe of others, since the queue was full."""

    root: RootName


@dataclass(frozen=True, slots=True)
class User:
    """A user who logs in with ``email``, and the groups that an OpenID Connect provider named.

    ``ident`` never changes and is never used again, so it names the user's data.
    """

    ident: str
    email: str
    superuser: bool
    groups: frozenset[str] = field(default=frozenset(), kw_only=True)


@dataclass(frozen=True, slots=True)
class Expression:
    """Definition of a computed dataset; operands map names in the text to ``ROOT/PATH``."""

    text: str
    operands: dict[str, str]


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file: the name given by its sender, and its bytes."""

    name: str
    pieces: AsyncIterator[bytes]


PrefetchState = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Health:
    """Health of a subscriber: whether its broker is heard, and the number of roots that are up."""

    broker: bool
    roots: int


@dataclass(frozen=True, slots=True)
class PrefetchStatus:
    """Progress of a prefetch.

    Of ``datasets``, ``done`` are complete and ``failed`` could not be fetched, ``failures`` first.
    ``nchunks`` and ``cached`` count chunks of those reached so far, or of the part ``slice_``.
    """

    path: str
    state: PrefetchState
    datasets: int
    done: int
    failed: int
    failures: tuple[str, ...]
    nchunks: int
    cached: int
    error: str
    slice_: str = ""


Event = RootEvent | ChangeEvent
JSON = dict[str, Any]
"""Body of a REST answer; the REST contract fixes its keys."""
