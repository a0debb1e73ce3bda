"""A replica's index: where each chunk lies in the data file, and its digest.

The file is a header with the dataset's description, then one record of 16 bytes a chunk,
memory-mapped. Its space is reserved when it is made, so that a full disk is an error then and
never a fault at a later store into the map.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path

import msgpack
import numpy as np
import numpy.typing as npt

from caterva2.errors import CatervaError, SourceCorrupt
from caterva2.limits.constants import HEADER_BYTES
from caterva2.model import DatasetInfo
from caterva2.names import RootName
from caterva2.runtime import durable

MAGIC = b"C2IX\x00\x00\x00\x02"
_HEAD = struct.Struct("<8sIII")  # magic, description: bytes and CRC-32, where the records begin
_PAGE = 4096
NEW = ".new"
"""Suffix of a file that is being created."""
RECORD = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc", "<u4")])
"""``length`` 0 means that the chunk is missing; ``offset`` counts from behind the header,
and is an offset of the frame's index itself for chunks of zeros or NaNs, which take no room."""


class Index:
    """The records of one replica, shared by all its threads.

    Attributes
    ----------
    root : RootName
    info : DatasetInfo
    records : ndarray of `RECORD`
        A view of the file.
    """

    def __init__(self, root: RootName, info: DatasetInfo, fd: int, start: int) -> None:
        self.root = root
        self.info = info
        self.records: npt.NDArray[np.void]
        self._map: mmap.mmap | None
        self._fd = fd
        count = info.nchunks
        if fd < 0:
            self._map, self.records = None, np.zeros(count, RECORD)
        elif count:
            self._map = mmap.mmap(fd, start + count * RECORD.itemsize)
            self.records = np.frombuffer(self._map, dtype=RECORD, count=count, offset=start)
        else:
            self._map, self.records = None, np.empty(0, RECORD)

    @classmethod
    def in_memory(cls, root: RootName, info: DatasetInfo) -> Index:
        """Make an index without a file, for a dataset that the disk has no room for."""
        return cls(root, info, -1, 0)

    @classmethod
    def create(
        cls,
        path: Path,
        root: RootName,
        info: DatasetInfo,
        records: npt.NDArray[np.void] | None = None,
    ) -> Index:
        """Create the file, or put it in place of another, with some records or without any chunk.

        Raises
        ------
        OSError
            If there is no room for all its records.
        """
        described = msgpack.packb({"root": root, "info": info.model_dump()}, use_bin_type=True)
        start = cls._start(len(described))
        temporary = path.with_suffix(NEW)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            durable.reserve(fd, start + info.nchunks * RECORD.itemsize)
            head = _HEAD.pack(MAGIC, len(described), zlib.crc32(described), start)
            durable.pwrite(fd, head + described, 0)
            if records is not None:
                durable.pwrite(fd, memoryview(records.tobytes()), start)
            os.replace(temporary, path)
        except BaseException:
            os.close(fd)
            temporary.unlink(missing_ok=True)
            raise
        return cls(root, info, fd, start)

    @classmethod
    def open(cls, path: Path) -> Index:
        """Open the file of an earlier run.

        Raises
        ------
        SourceCorrupt
            If it is damaged.
        OSError
            If it can't be read.
        """
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            root, info, start = _description(fd, path)
            return cls(root, info, fd, start)
        except BaseException:
            os.close(fd)
            raise

    @staticmethod
    def _start(described: int) -> int:
        """Return the offset of the records, behind a description of some bytes."""
        return -(-(_HEAD.size + described) // _PAGE) * _PAGE

    @classmethod
    def size_of(cls, info: DatasetInfo) -> int:
        """Estimate the bytes of the file for a dataset."""
        described = sum(map(len, (*info.vlmeta.values(), *info.metalayers.values())))
        described += info.attrs_bytes
        return cls._start(described) + info.nchunks * RECORD.itemsize

    @staticmethod
    def places(descriptor: int, path: Path) -> tuple[RootName, DatasetInfo, int]:
        """Read the description in an open file, and the offset at which its records begin.

        Raises
        ------
        SourceCorrupt
            If it is damaged.
        """
        return _description(descriptor, path)

    @staticmethod
    def describe(path: Path) -> tuple[RootName, DatasetInfo]:
        """Read the description in a file, without its records."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            root, info, _ = _description(fd, path)
        finally:
            os.close(fd)
        return root, info

    def flush(self) -> None:
        """Flush all records to the disk."""
        if self._fd >= 0:
            os.fsync(self._fd)  # mapped pages too; mmap.flush would hold the interpreter lock

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _description(fd: int, path: Path) -> tuple[RootName, DatasetInfo, int]:
    head = os.pread(fd, _HEAD.size, 0)
    if len(head) < _HEAD.size:
        raise SourceCorrupt(f"{path} is cut off")
    magic, length, crc, start = _HEAD.unpack(head)
    if magic != MAGIC or length > HEADER_BYTES or start != Index._start(length):
        raise SourceCorrupt(f"{path} is not an index")
    packed = os.pread(fd, length, _HEAD.size)
    if zlib.crc32(packed) != crc:
        raise SourceCorrupt(f"{path} is damaged")
    try:
        described = msgpack.unpackb(packed, use_list=False)
        root, info = RootName(described["root"]), DatasetInfo.model_validate(described["info"])
    except (ValueError, KeyError, TypeError, CatervaError, msgpack.UnpackException) as error:
        raise SourceCorrupt(f"{path} has a bad description: {error}") from None
    if os.fstat(fd).st_size < start + info.nchunks * RECORD.itemsize:
        raise SourceCorrupt(f"{path} is cut off")
    return root, info, start
