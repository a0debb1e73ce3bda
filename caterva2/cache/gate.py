"""The gate for chunks of one dataset: what does not match its description is refused."""

from __future__ import annotations

from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.model import DatasetInfo


class Gate:
    """Check raw chunks against the description of their dataset.

    Parameters
    ----------
    info : DatasetInfo
    """

    def __init__(self, info: DatasetInfo) -> None:
        self._info = info
        self._shape = chunks.ChunkShape.of(info.kind, info.typesize, info.blocksize)

    def _nbytes(self, n: int) -> int:
        if not 0 <= n < self._info.nchunks:
            raise SourceCorrupt(f"{self._info.path} has no chunk {n}")
        return self._info.chunk_nbytes(n)

    def check(self, n: int, chunk: memoryview | bytes) -> None:
        """Raise `SourceCorrupt` or `CodecNotAllowed` unless this can be chunk ``n``."""
        chunks.check(chunk, self._shape, self._nbytes(n))

    def check_header(self, n: int, header: bytes) -> None:
        """Check a chunk of which only the header, and some blocks, were received."""
        chunks.check_header(header, self._shape, self._nbytes(n), chunks.stored_size(header))

    def special(self, n: int, offset: int) -> bytes:
        """Make the chunk of zeros or NaNs that an offset of the index stands for."""
        return chunks.from_offset(offset, self._shape, self._info.chunk_nbytes(n))
