"""The nouns that all parts share: roots, catalog entries, a dataset's description.

They are frozen, and validated where they arrive from outside.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

from caterva2 import limits
from caterva2.names import DatasetPath, RootName

Kind = Literal["array", "frame", "file"]
_ETAG = re.compile(r"[!#-~]{1,64}")


class Model(BaseModel):
    """Base of everything that crosses a border: frozen, strict, deaf to unknown keys."""

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


def _etag(value: object) -> str:
    # It stands between quotes in an HTTP header, so it holds neither these nor blanks.
    if not isinstance(value, str) or not _ETAG.fullmatch(value):
        raise ValueError("an etag has 1 to 64 visible ASCII characters, quotes excepted")
    return value


Root = Annotated[RootName, BeforeValidator(_root)]
Path = Annotated[DatasetPath, BeforeValidator(_path)]
Etag = Annotated[str, BeforeValidator(_etag)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Size32 = Annotated[int, Field(ge=0, lt=2**31)]
Token = Annotated[str, Field(min_length=1, max_length=64)]
"""An instance's or an agent's opaque name."""
Endpoint = Annotated[str, Field(max_length=256, pattern=r"^tcp://[^\s/]+:[0-9]{1,5}$")]
Shape = Annotated[tuple[Count, ...], Field(max_length=limits.NDIM)]
Grid = Annotated[tuple[Size32, ...], Field(max_length=limits.NDIM)]


class RootInfo(Model):
    """A root, who publishes it and where.

    ``inst`` names the publisher's process, ``fence`` counts the grants of this name: of two
    holders the one with the higher fence is the newer.
    """

    root: Root
    inst: Token
    fence: Annotated[int, Field(ge=0, lt=limits.FENCE)]
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=8)]
    curve_key: Annotated[str, Field(max_length=64)] = ""
    ttl_ms: Annotated[int, Field(ge=100, le=3_600_000)] = int(limits.LEASE_TTL * 1000)


@dataclass(frozen=True, slots=True)
class Entry:
    """A dataset as the catalog lists it; ``size`` is its stored size in bytes.

    There may be a million of them, and a `Model` takes 900 bytes more than this. Making one
    checks nothing; messages and files that hold entries are validated as a whole.
    """

    # A strict dataclass would only be taken as an instance, never from a message's map.
    __pydantic_config__: ClassVar[ConfigDict] = Model.model_config | {"strict": False}

    path: Path
    kind: Kind
    etag: Etag
    size: Annotated[Count, Strict()]
    mtime: Annotated[float, Strict()]

    def fields(self) -> dict[str, object]:
        """Return the fields by their names, as messages and files hold them."""
        return {name: getattr(self, name) for name in self.__slots__}


class CParams(Model):
    """How a frame was compressed, in the integers of the Blosc2 format."""

    codec: Annotated[int, Field(ge=0, le=255)] = 5
    codec_meta: Annotated[int, Field(ge=0, le=255)] = 0
    clevel: Annotated[int, Field(ge=0, le=9)] = 1
    filters: Annotated[tuple[int, ...], Field(min_length=6, max_length=6)] = (0, 0, 0, 0, 0, 1)
    filters_meta: Annotated[tuple[int, ...], Field(min_length=6, max_length=6)] = (0,) * 6
    splitmode: Annotated[int, Field(ge=1, le=4)] = 1


class DatasetInfo(Model):
    """All that is known of one version of a dataset, without its chunks.

    For an array ``shape``, ``chunks`` and ``blocks`` are in items and ``dtype`` is the string
    that Blosc2 stores. For a frame or a plain file they are one-dimensional in bytes, and
    ``dtype`` is empty. ``vlmeta`` holds the values as they are stored, in msgpack.
    """

    path: Path
    etag: Etag
    mtime: float
    kind: Kind
    shape: Shape
    chunks: Grid
    blocks: Grid
    dtype: Annotated[str, Field(max_length=limits.DTYPE_LENGTH)] = ""
    typesize: Annotated[int, Field(ge=1, le=limits.ITEMSIZE)] = 1
    chunksize: Annotated[int, Field(ge=0, le=limits.CHUNK_BYTES)]
    blocksize: Annotated[int, Field(ge=0, le=limits.CHUNK_BYTES)]
    nbytes: Count
    cbytes: Count
    cparams: CParams = CParams()
    vlmeta: Annotated[dict[str, bytes], Field(max_length=limits.VLMETA_ITEMS)] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not len(self.shape) == len(self.chunks) == len(self.blocks):
            raise ValueError("shape, chunks and blocks differ in their number of dimensions")
        if sum(map(len, self.vlmeta.values())) > limits.VLMETA_BYTES:
            raise ValueError(f"vlmeta is larger than {limits.VLMETA_BYTES} bytes")
        if self.kind == "array":
            self._check_array()
        elif self.chunks != (self.chunksize,) or self.shape != (self.nbytes,):
            raise ValueError("the grid of a byte string is its size in bytes")
        if self.nchunks > limits.CHUNK_COUNT:
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
        padded: int = math.prod(map(_round_up, self.chunks, self.blocks))
        if padded * self.typesize != self.chunksize:
            raise ValueError("chunksize is not the product of the padded chunk")

    @property
    def nchunks(self) -> int:
        """Chunks of the whole dataset, 0 if it is empty."""
        if 0 in self.shape:
            return 0
        return math.prod(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    def chunk_nbytes(self, n: int) -> int:
        """Decompressed bytes of chunk ``n``: only the last chunk of a byte string is shorter."""
        if self.kind == "array":
            return self.chunksize
        return min(self.chunksize, self.nbytes - n * self.chunksize)


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step


@dataclass(frozen=True, slots=True)
class RootStatus:
    """A root as a subscriber lists it; ``http`` is its publisher's ``HOST:PORT``."""

    name: RootName
    http: str
    subscribed: bool
    offline: bool


@dataclass(frozen=True, slots=True)
class RootEvent:
    """A root is published from now on, elsewhere than before, or not any more."""

    root: RootName
    state: Literal["up", "offline"]
    http: str


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """A dataset has a new version, or none any more; then its etag is empty."""

    root: RootName
    path: DatasetPath
    op: Literal["put", "delete"]
    etag: str


@dataclass(frozen=True, slots=True)
class Lost:
    """There were more events, of this root and maybe of others, than could be kept."""

    root: RootName


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has logged in.

    ``ident`` never changes and never comes again, so what belongs to a user is named by it;
    ``email`` is what people write.
    """

    ident: str
    email: str
    superuser: bool


@dataclass(frozen=True, slots=True)
class Expression:
    """What a dataset is computed of: its operands are ``ROOT/PATH`` by the names in the text."""

    text: str
    operands: dict[str, str]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that comes in: the name that its sender has for it, and its bytes."""

    name: str
    pieces: AsyncIterator[bytes]


PrefetchState = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a subscriber hears its broker now, and how many roots are up as far as it knows."""

    broker: bool
    roots: int


@dataclass(frozen=True, slots=True)
class PrefetchStatus:
    """How far a prefetch is.

    ``datasets`` are all that it is to fetch, of which ``done`` are here and ``failed`` can't be
    had; ``failures`` names the first of these, relative to the root. ``nchunks`` and ``cached``
    count the chunks of those that it came to so far. ``error`` is what went wrong last.
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


Event = RootEvent | ChangeEvent
JSON = dict[str, Any]
"""The body of a REST answer; its keys are fixed by the REST contract."""
