"""The process that reads files: it runs one source, within limits, for the process that started it.

It has a thread for each stream. It ends with its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import gc
import importlib
import json
import logging
import mmap
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from caterva2.errors import CatervaError, SourceCorrupt
from caterva2.isolation.channel import Descriptors, Ended, Stream
from caterva2.isolation.open_sources import OpenSources
from caterva2.model import EntryFields
from caterva2.names import DatasetPath
from caterva2.runtime.memory import share
from caterva2.sources.base import Datasets
from caterva2.sources.located import Located

log = logging.getLogger("caterva2.isolation.child")  # it runs as __main__
PROGRESS = 2.0
"""Seconds between two lines of the log while a source is scanned."""
ALIVE = 0.5
"""Seconds between two signs of life to the parent while a source is scanned."""
VICTIM = 500
"""Raises the score by which the system picks a process to end when memory is short."""
_DIE_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG`` of Linux."""
Answer = tuple[Any, bytes]


@runtime_checkable
class Locating(Protocol):
    """A source that can say where chunks lie in its file, so that the parent reads them."""

    def located(self, path: DatasetPath, etag: str, ids: Sequence[int]) -> Located | None:
        """Return where the first of some chunks lie, None if they have to be converted."""


@runtime_checkable
class Listing(Protocol):
    """A source that can say what it has while it looks."""

    def batches(self) -> Iterator[list[EntryFields]]:
        """Yield the entries of all datasets, in batches; raise `StaleVersion` to void them."""


class Visitor:
    """Follows a scan: notes for the parent what is opened next, and says how far it is.

    Parameters
    ----------
    stream : Stream
        Where the parent waits for the scan.
    page : mmap
        Memory that is shared with the parent.
    what : str
        What is scanned, for the log.
    """

    def __init__(self, stream: Stream, page: mmap.mmap, what: str) -> None:
        self._stream = stream
        self._page = page
        self._what = what
        self._avoided: dict[str, str] = {}
        self.begin({})

    def begin(self, avoided: dict[str, str], below: str = "") -> None:
        """Start anew, with a file; some paths in it are not opened, for the reasons that are given.

        Parameters
        ----------
        avoided : dict
        below : str, optional
            Path of the file below the directory that is read.
        """
        self._avoided = avoided
        self._file = f"{self._what}/{below}" if below else self._what
        self._count = 0
        self._scanning = True
        self._next = self._told = time.monotonic()
        self._page[:2] = bytes(2)

    def found(self, rows: list[EntryFields]) -> None:
        """Give some entries to the parent, which makes its own of them while the scan goes on.

        They are not sent through the shared memory: the parent may not have read what is there.
        """
        self._stream.send(["entries", rows])

    def end(self) -> None:
        """Stop to follow: what is opened now is not part of a scan."""
        self._scanning = False

    def __call__(self, path: str) -> None:
        reason = self._avoided.get(path)
        if reason is not None:
            raise SourceCorrupt(f"can't be read: the process that read it {reason}")
        name = path.encode(errors="replace")[: len(self._page) - 2]
        self._page[2 : 2 + len(name)] = name
        self._page[:2] = len(name).to_bytes(2, "little")
        self._count += 1
        now = time.monotonic()
        if self._scanning and now >= self._next:
            self._next = now + ALIVE
            self._stream.send(["alive"])
        if self._scanning and now - self._told >= PROGRESS:
            self._told = now
            log.info("%s: looked at %d names so far", self._file, self._count)


class Calls:
    """The requests that the parent may send.

    Each names its file by the path below the directory that the process reads; empty if that is a
    file itself.

    Parameters
    ----------
    sources : OpenSources
    visitor : Visitor
    """

    def __init__(self, sources: OpenSources, visitor: Visitor) -> None:
        self._sources = sources
        self._visitor = visitor

    def answer(self, head: tuple[Any, ...]) -> Answer:
        """Do what a request says."""
        name, below, *given = head
        if name == "forget":
            self._sources.forget(below)
            return None, b""
        method: Callable[..., Answer] = getattr(self, f"_on_{name}")
        if name == "scan":
            self._visitor.begin(given[0], below)
        with self._sources.using(below) as source:
            return method(source, *given)

    def _on_scan(self, source: Datasets, avoided: dict[str, str]) -> Answer:
        try:
            for rows in _batches(source):
                self._visitor.found(rows)
        finally:
            self._visitor.end()
        return None, b""

    def _on_info(self, source: Datasets, path: str) -> Answer:
        return source.info(DatasetPath(path)).model_dump(), b""

    def _on_chunks(self, source: Datasets, path: str, etag: str, ids: tuple[int, ...]) -> Answer:
        run = next(iter(source.chunks(DatasetPath(path), etag, ids)))
        return [run.ids, run.sizes], run.payload

    def _on_located(self, source: Datasets, path: str, etag: str, ids: tuple[int, ...]) -> Answer:
        if not isinstance(source, Locating):
            return None, b""
        found = source.located(DatasetPath(path), etag, ids)
        return found and found.pack(), b""

    def _on_blocks(
        self, source: Datasets, path: str, etag: str, n: int, ids: tuple[int, ...]
    ) -> Answer:
        cut = source.blocks(DatasetPath(path), etag, n, ids)
        return [cut.ids, cut.sizes], cut.payload

    def _on_bytes(self, source: Datasets, path: str, etag: str, start: int, stop: int) -> Answer:
        return None, next(source.read_bytes(DatasetPath(path), etag, start, stop), b"")


def _batches(source: Datasets) -> Iterator[list[EntryFields]]:
    if isinstance(source, Listing):
        return source.batches()
    return iter([[astuple(entry) for entry in source.scan().values()]])


def serve(stream: Stream, calls: Calls) -> None:
    """Answer the requests of a stream; end the process when the parent is gone."""
    with contextlib.suppress(Ended):
        while True:
            head, _ = stream.receive()
            try:
                stream.send(*_answer(calls, head))
            except (ValueError, TypeError, OverflowError) as error:  # before a byte was sent
                log.exception("the reply to %s can't be sent", head[0])
                stream.send(_unexpected(error))
    os._exit(0)


def _answer(calls: Calls, head: tuple[Any, ...]) -> Answer:
    try:
        reply, payload = calls.answer(head)
    except Ended:
        raise
    except CatervaError as error:
        plain = {k: v for k, v in error.info.items() if isinstance(v, str | int)}
        return ["error", error.name, error.detail, plain, error.after_ms], b""
    except MemoryError:
        return ["memory"], b""
    except Exception as error:
        log.exception("%s failed", head[0])
        return _unexpected(error), b""
    return ["done", reply], payload


def _unexpected(error: Exception) -> list[Any]:
    return ["error", "internal", f"{type(error).__name__} in a reading process", {}, 0]


class _Lines(logging.Handler):
    """Writes log records as lines that the parent reads."""

    def emit(self, record: logging.LogRecord) -> None:
        text = logging.Formatter("%(message)s").format(record)
        line = json.dumps([record.levelno, record.name, text])
        with contextlib.suppress(OSError):
            os.write(2, f"{line}\n".encode(errors="replace"))


def confine(memory: int, parent: int) -> None:
    """Bind this process to its parent's life, and limit its memory."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it ended before we could hear of it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # sent to all of a group; the parent says when
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(VICTIM))
    share()


def main(given: dict[str, Any]) -> None:
    """Run a source as the parent's command line says."""
    confine(given["memory"], given["parent"])
    faulthandler.enable()
    logging.basicConfig(level=given["level"], handlers=[_Lines()])
    logging.getLogger("numexpr").setLevel(logging.WARNING)
    page, *ends = given["descriptors"]
    pairs = zip(ends[::2], ends[1::2], strict=True)
    scans, *others = [Stream(Descriptors(*pair)) for pair in pairs]
    path = Path(given["path"])
    module, _, function = given["make"].partition(":")
    make = getattr(importlib.import_module(module), function)
    visitor = Visitor(scans, mmap.mmap(page, 0), str(path))
    sources = OpenSources(
        functools.partial(make, path, visitor, **given["options"]), given["files"]
    )
    calls = Calls(sources, visitor)
    gc.freeze()
    for stream in others:
        threading.Thread(target=serve, args=(stream, calls), daemon=True).start()
    scans.send(["ready"])
    serve(scans, calls)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
