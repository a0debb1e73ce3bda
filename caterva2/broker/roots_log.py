"""The broker's roots on disk: an append-only log of records.

The first line has the format, each other line a `Record`; of the records of a root the last one
counts. Each line begins with the CRC-32 of its content. So a line that a crash cut off, or that
the disk damaged, is recognised, and is left out with a warning.

A process writes the log anew when it first has something to add, and again when the log has become
twice as long and `SLACK` more. So a grant costs one line, and the length is bounded by the roots.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from caterva2.broker.record import Record
from caterva2.errors import StartError
from caterva2.limits.constants import MIB
from caterva2.model import Registration
from caterva2.names import RootName
from caterva2.runtime import durable, statefile

log = logging.getLogger(__name__)
ROOTS_LOG = "roots.log"
FORMAT = 2
"""1 was one JSON document, `FIRST_FORMAT`."""
FIRST_FORMAT = "roots.json"
LINE = 64 * 1024
"""Bytes above which a line is damaged: the longest record has less."""
SLACK = MIB
"""Bytes that are added, however short the log is, before it is written anew."""
_LOST = (
    "leases and fences in it are lost; a root is announced again as soon as its publisher "
    "registers, with a fence above the one that the publisher remembers"
)


class RootsLog:
    """The log of one broker; methods block, and are called by one thread at a time.

    Parameters
    ----------
    directory : Path
        The broker's state directory.
    slack : int, optional
    """

    def __init__(self, directory: Path, slack: int = SLACK) -> None:
        self.path = directory / ROOTS_LOG
        self._first_format = directory / FIRST_FORMAT
        self._slack = slack
        self._fd = -1
        self._length = 0
        self._whole = 0

    def close(self) -> None:
        """Close the file; may be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # --- reading ---

    def read(self) -> list[Record]:
        """Return the last record of each root; none if there is no log, or it means nothing.

        Damaged lines are left out, and kept in ``roots.log.bad``; so is a file that has no format.

        Raises
        ------
        StartError
            If a newer version of this program wrote the log, or the system can't read it.
        """
        try:
            with self.path.open("rb") as file:
                return self._records(file)
        except FileNotFoundError:
            return self._of_first_format()
        except StartError:
            raise
        except OSError as error:
            raise StartError(f"{self.path} can't be read: {error.strerror}") from None
        except ValueError as error:
            statefile.set_aside(self.path, statefile.reason(error), _LOST)
            return []

    def _records(self, file: BinaryIO) -> list[Record]:
        head = file.readline(LINE)
        if not head:
            raise ValueError("it is empty")
        found = statefile.format_of(json.loads(_content(head)))
        statefile.refuse_newer(self.path, found, FORMAT)
        last: dict[RootName, Record] = {}
        bad: list[bytes] = []
        for line in iter(lambda: file.readline(LINE), b""):
            try:
                record = Record.model_validate_json(_content(line))
            except ValueError:
                bad.append(line)
            else:
                last[record.root] = _later(last.get(record.root), record)
        if bad:
            self._keep(bad)
        return list(last.values())

    def _keep(self, bad: list[bytes]) -> None:
        """Keep damaged lines beside the log, which is written without them."""
        where = self.path.with_name(f"{self.path.name}.bad")
        try:
            durable.write_pieces(where, bad)
        except OSError as error:
            raise StartError(f"{where} can't be written: {error.strerror}") from None
        size = sum(map(len, bad))
        log.warning(
            "%s: %d bytes in damaged or cut off lines are left out, and are in %s now: %s",
            self.path, size, where.name, _LOST,
        )  # fmt: skip

    def _of_first_format(self) -> list[Record]:
        return statefile.read(self._first_format, 1, _parse_first_format, _LOST) or []

    # --- writing ---

    def add(self, records: Iterable[Record], everything: Callable[[], Iterable[Record]]) -> None:
        """Add records, and flush them to the disk.

        Parameters
        ----------
        records : iterable of Record
        everything : callable
            Returns the record of each root, those that are added here included. It is called where
            the log is to be written anew: at first, after a failure, and when it has become long.

        Raises
        ------
        OSError
            If it can't be written. The next call writes it anew.
        """
        if self._fd < 0 or self._length > 2 * self._whole + self._slack:
            self.write(everything())
            return
        try:
            data = b"".join(_line(record.model_dump_json()) for record in records)
            self._length = durable.pwrite(self._fd, data, self._length)
            os.fsync(self._fd)
        except OSError:
            self.close()
            raise

    def write(self, records: Iterable[Record]) -> None:
        """Replace the log by one with these records only.

        Raises
        ------
        OSError
            If it can't be written; the old log is still there then.
        """
        self.close()
        head = _line(json.dumps({statefile.FORMAT: FORMAT}))
        lines: Iterator[bytes] = (_line(record.model_dump_json()) for record in records)
        durable.write_pieces(self.path, itertools.chain([head], lines))
        self._first_format.unlink(missing_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        self._length = self._whole = os.fstat(self._fd).st_size


def _line(content: str) -> bytes:
    data = content.encode()
    return b"%08x %s\n" % (zlib.crc32(data), data)


def _content(line: bytes) -> bytes:
    """Return the content of a line.

    Raises
    ------
    ValueError
        If the line is not whole.
    """
    digest, _, content = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or digest != b"%08x" % zlib.crc32(content):
        raise ValueError("a line is cut off or damaged")
    return content


def _later(known: Record | None, record: Record) -> Record:
    """Return the record that counts: a fence never goes back."""
    return known if known is not None and known.fence > record.fence else record


def _parse_first_format(_: int, saved: Any) -> list[Record]:
    found = {name: Record(root=name, fence=fence) for name, fence in saved["fences"].items()}
    for item in saved["roots"]:
        info = Registration.model_validate_json(json.dumps(item))
        known = found.get(info.root)
        fence = max(info.fence, known.fence if known is not None else 0)
        found[info.root] = Record(root=info.root, fence=fence, lease=info)
    return list(found.values())
