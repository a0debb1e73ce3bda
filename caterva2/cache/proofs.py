"""The proofs that chunks of a replica are what their origin signed, for those that read them here.

A record of one size for each chunk: the length of its proof, the CRC-32 of that, and the proof. One
that a full disk or a crash left in part counts as none, so that it is asked for again.
"""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

from caterva2.frames.raw import crc32
from caterva2.limits.constants import PROOF_BYTES
from caterva2.runtime import durable

SUFFIX = ".proofs"
_HEAD = struct.Struct("<BI")
_RECORD = _HEAD.size + PROOF_BYTES


class ProofFile:
    """The proofs of one replica. All methods may be called from any thread.

    Parameters
    ----------
    path : Path
        Of a file that is made with the first proof.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._lock = threading.Lock()

    def put(self, n: int, proof: bytes) -> None:
        """Keep a proof; raise `OSError` if it can't be written."""
        with self._lock:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            record = _HEAD.pack(len(proof), crc32(proof)) + proof
            durable.pwrite(self._fd, record.ljust(_RECORD, b"\0"), n * _RECORD)

    def get(self, n: int) -> bytes:
        """Return a proof; nothing if there is none."""
        with self._lock:
            try:
                if self._fd is None:
                    self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
                record = os.pread(self._fd, _RECORD, n * _RECORD)
            except OSError:
                return b""
        if len(record) < _RECORD:
            return b""
        size, crc = _HEAD.unpack_from(record)
        proof = record[_HEAD.size : _HEAD.size + size]
        return proof if crc32(proof) == crc else b""

    def close(self) -> None:
        with self._lock:
            fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
