"""Opened files of a file system, and their errors."""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from fsspec.spec import AbstractBufferedFile

from caterva2.client.errors import HttpError, Missing
from caterva2.errors import BadName, CatervaError, LoginNeeded, StaleVersion
from caterva2.integrations import ranges

if TYPE_CHECKING:
    from caterva2.integrations.filesystem import Caterva2FileSystem


@contextlib.contextmanager
def as_os_errors(path: str) -> Iterator[None]:
    """Raise the errors that programs expect of a file system."""
    try:
        yield
    except (Missing, BadName) as error:
        raise FileNotFoundError(errno.ENOENT, str(error), path) from error
    except LoginNeeded as error:
        raise PermissionError(errno.EACCES, str(error), path) from error
    except HttpError as error:
        if error.status_code == 412:
            why = f"{path} has changed since it was opened: open it again"
            raise OSError(errno.ESTALE, why, path) from error
        refused = error.status_code in (401, 403)
        kind, number = (PermissionError, errno.EACCES) if refused else (OSError, errno.EIO)
        raise kind(number, str(error), path) from error
    except StaleVersion as error:
        raise OSError(errno.ESTALE, str(error), path) from error
    except CatervaError as error:
        raise OSError(errno.EIO, str(error), path) from error


class ReadFile(AbstractBufferedFile):  # type: ignore[misc, unused-ignore]
    """A file that is read by ranges, all of the version that it had when it was opened."""

    DEFAULT_BLOCK_SIZE: ClassVar[int] = 2**20

    def __init__(self, fs: Caterva2FileSystem, path: str, block_size: int, **options: Any) -> None:
        known = fs.info(path, fill=True)  # into the client's cache, if it has one
        if known["type"] == "directory":
            raise IsADirectoryError(errno.EISDIR, "it is a directory", path)
        options.pop("size", None)
        self._tag: str = known["tag"]
        super().__init__(fs, path, "rb", block_size, size=known["size"], **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        with as_os_errors(self.path):
            return ranges.read(self.fs.client.transport, self.path, [(start, end)], self._tag)[0]


class WrittenFile(io.BytesIO):
    """A file of a special root, which is uploaded as a whole when it is closed."""

    mode = "wb"

    def __init__(self, fs: Caterva2FileSystem, path: str) -> None:
        super().__init__()
        self._fs, self.path = fs, path

    def close(self) -> None:
        """Upload it."""
        if not self.closed:
            content = self.getvalue()
            super().close()
            self._fs.pipe_file(self.path, content)

    def discard(self) -> None:
        """Forget it."""
        super().close()

    def __exit__(self, kind: object, *_: object) -> None:
        self.close() if kind is None else self.discard()
