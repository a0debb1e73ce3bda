"""A subscriber, seen from Python."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Self

import blosc2

from caterva2 import selection
from caterva2.client.objects import Dataset, File, Root
from caterva2.client.transport import TIMEOUT, Transport, Unreachable
from caterva2.errors import BadName, SourceCorrupt, StaleVersion
from caterva2.frames import layout

DEFAULT_URL = "http://127.0.0.1:8002"
Progress = Callable[[int, int | None], None]
"""Called with the bytes that came and, if known, the bytes of all."""
_PIECE = 2**20


class Client:
    """Access to the roots of a subscriber.

    Parameters
    ----------
    urlbase : str, optional
        The subscriber; by default ``CATERVA2_URL`` of the environment, or this machine's.
    timeout : float
        Seconds without any byte after which a request fails.

    Examples
    --------
    >>> client = caterva2.Client("http://localhost:8002")
    >>> client.get("foo/dir1/ds-2d.b2nd")[2:4, 5]
    array([45, 65], dtype=uint16)
    """

    def __init__(self, urlbase: str | None = None, timeout: float = TIMEOUT) -> None:
        chosen = urlbase or os.environ.get("CATERVA2_URL") or DEFAULT_URL
        self._transport = Transport(chosen, timeout)

    @property
    def urlbase(self) -> str:
        return self._transport.urlbase

    def close(self) -> None:
        """Close the connections that are kept open for the next request."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client: {self.urlbase}>"

    # --- catalogue ---

    def get_roots(self) -> dict[str, dict[str, Any]]:
        """All roots by name, with ``http`` (the publisher) and ``subscribed``."""
        roots: dict[str, dict[str, Any]] = self._json("GET", "api/roots")
        return roots

    def subscribe(self, root: str) -> str:
        """Have the subscriber follow a root; ``"Ok"``."""
        answer: str = self._json("POST", f"api/subscribe/{root}")
        return answer

    def get_list(self, path: str | PurePosixPath) -> list[str]:
        """Paths of the files below a root or directory, relative to it."""
        names: list[str] = self._json("GET", f"api/list/{path}")
        return names

    def get_info(self, path: str | PurePosixPath) -> dict[str, Any]:
        """All that the subscriber tells about a dataset, a file or a directory."""
        info: dict[str, Any] = self._json("GET", f"api/info/{path}")
        return info

    def get(self, path: str | PurePosixPath) -> Root | File | Dataset:
        """A root by its name, or a file or dataset by its path."""
        text = str(path).strip("/")
        if "/" not in text:
            self.subscribe(text)
            return Root(self, text)
        meta = self.get_info(text)
        if meta.get("kind") == "group":
            raise BadName(f"{text} is a directory: name a file in it")
        return (Dataset if "shape" in meta else File)(self, text, meta)

    # --- data ---

    def fetch(self, path: str | PurePosixPath, slice_: Any = None) -> Any:
        """Values of a slice: a numpy array, or bytes of a file.

        Parameters
        ----------
        path : str
        slice_ : int, slice, Ellipsis or a tuple of these
            None is everything.
        """
        return _values(self.fetch_frame(path, slice_))

    def fetch_parts(self, path: str | PurePosixPath, slices: Sequence[Any]) -> Iterator[Any]:
        """Values of several slices, one request each, all of one version of the dataset.

        Raises
        ------
        StaleVersion
            If the dataset changed in between: begin anew.
        """
        first = ""
        for key in slices:
            found, version = self._frame(path, selection.to_string(key))
            if version != (first := first or version):
                raise StaleVersion(f"{path} changed while it was read")
            yield _values(found)

    def fetch_frame(
        self, path: str | PurePosixPath, slice_: Any = None
    ) -> blosc2.NDArray | blosc2.SChunk:
        """A slice as a Blosc2 object: an NDArray, or an SChunk of a file's bytes."""
        return self._frame(path, selection.to_string(slice_))[0]

    def _frame(
        self, path: str | PurePosixPath, text: str
    ) -> tuple[blosc2.NDArray | blosc2.SChunk, str]:
        """A slice, and the version that it is of."""
        query = {"slice_": text} if text else None
        answer = self._transport.request("GET", f"api/fetch/{path}", query)
        try:
            return _open_frame(answer.body), answer.headers.get("etag", "")
        except (RuntimeError, ValueError, SourceCorrupt) as error:
            raise Unreachable(f"{self.urlbase} sent no frame: {error}") from None

    def get_chunk(self, path: str | PurePosixPath, nchunk: int) -> bytes:
        """Raw chunk ``nchunk``, compressed as it is stored."""
        query = {"nchunk": str(nchunk)}
        return bytes(self._transport.request("GET", f"api/chunk/{path}", query).body)

    def get_download_url(self, path: str | PurePosixPath) -> str:
        """Where a browser gets the whole file."""
        return self._transport.url(f"api/download/{path}")

    def download(
        self,
        path: str | PurePosixPath,
        localpath: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Save a whole file or dataset.

        Parameters
        ----------
        path : str
        localpath : path, optional
            A file, or a directory to put it into; ``ROOT/PATH`` below the current directory
            by default.
        progress : callable, optional
            Called as bytes come.

        Returns
        -------
        Path
            Where it is now; it appears there only when it is complete.
        """
        target = _local_target(PurePosixPath(path), localpath)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                self._save(str(path), file.write, progress or (lambda *_: None))
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    def _save(self, path: str, write: Callable[[memoryview], int], progress: Progress) -> None:
        with self._transport.stream("GET", f"api/download/{path}") as response:
            total, done = response.length, 0
            buffer = memoryview(bytearray(_PIECE))
            while count := response.readinto(buffer):
                write(buffer[:count])
                done += count
                progress(done, total)
        if total is not None and done != total:
            raise Unreachable(f"{self.urlbase} broke off after {done} of {total} bytes")

    def _json(self, method: str, path: str) -> Any:
        return self._transport.request(method, path).json()


def _open_frame(body: bytearray) -> blosc2.NDArray | blosc2.SChunk:
    """A frame as the one of two kinds that a subscriber sends, over the body's own memory."""
    header = bytes(body[: layout.header_length(bytes(body[: layout.HEADER_MIN]))])
    if "b2nd" in layout.parse_header(header).metalayers:
        return blosc2.ndarray_from_cframe(body)
    return blosc2.schunk_from_cframe(body)


def _values(found: blosc2.NDArray | blosc2.SChunk) -> Any:
    """A numpy array, or the bytes of a byte string."""
    if isinstance(found, blosc2.NDArray):
        return found[()]
    chunks = [found.decompress_chunk(n) for n in range(found.nchunks)]
    return b"".join(chunks)


def _local_target(path: PurePosixPath, localpath: str | Path | None) -> Path:
    if ".." in path.parts or path.is_absolute():
        raise BadName(f"{path} is not a path below a root")
    if localpath is None:
        return Path(*path.parts)
    target = Path(localpath)
    return target / path.name if target.is_dir() or str(localpath).endswith("/") else target


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
