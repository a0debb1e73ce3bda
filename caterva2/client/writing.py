"""What a client brings into the special roots."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import blosc2
import numpy as np

from caterva2.client.arranging import RemotePath, checked
from caterva2.client.http.transport import Transport
from caterva2.client.http.upload import FileForm
from caterva2.client.read.download import Progress
from caterva2.errors import BadName, BadRequest

Local = str | os.PathLike[str] | bytes | BinaryIO


class Writing:
    """Upload and append: what needs a user.

    Nothing is sent twice whose repetition would do something else.
    """

    _transport: Transport

    def upload(
        self,
        localpath: Local,
        path: RemotePath,
        progress: Progress | None = None,
        *,
        unpack: bool = False,
    ) -> PurePosixPath:
        """Put a file into a special root, in place of one that is there.

        Parameters
        ----------
        localpath : path, bytes or binary file
        path : str
            Where to: ``@public/x.b2nd``; with a slash at its end, or a directory that is there,
            the file keeps its name.
        progress : callable, optional
            Called as bytes go, with their number and that of all, if it is known.
        unpack : bool
            Make a new directory of what is in the file, a ``.zip`` or ``.tar.gz``.

        Returns
        -------
        PurePosixPath
            Where it is now.
        """
        source, name = _source(localpath, path)
        query = {"unpack": "1"} if unpack else None
        form = FileForm(source, name, progress)
        repeatable = form.repeatable and not unpack
        return PurePosixPath(self._sent(f"api/upload/{path}", form, str, query, repeatable))

    def append(self, path: RemotePath, data: Any) -> tuple[int, ...]:
        """Let an array in a special root grow along its first axis.

        Parameters
        ----------
        path : str
        data : array, or path of a ``.b2nd`` or ``.npy`` file
            Of the same dtype, and of the same shape but for the first axis.

        Returns
        -------
        tuple of int
            The array's shape now.
        """
        form = FileForm(_frame(data), "data.b2nd")
        shape = self._sent(f"api/append/{path}", form, list, None, repeatable=False)
        return tuple(shape)

    def _sent(
        self,
        target: str,
        form: FileForm,
        kind: type[Any],
        query: dict[str, str] | None,
        repeatable: bool,
    ) -> Any:
        answer = self._transport.request("POST", target, query, form.headers, form, repeatable)
        return checked(answer.json(), kind)


def _source(localpath: Local, path: RemotePath) -> tuple[Path | bytes | BinaryIO, str]:
    """What is sent, and its name."""
    if isinstance(localpath, str | os.PathLike):
        local = Path(localpath)
        if local.is_dir():
            raise BadName(f"{local} is a directory: upload its files, or an archive of them")
        return local, local.name
    if isinstance(localpath, bytes):
        return localpath, PurePosixPath(path).name
    name = getattr(localpath, "name", "")
    return localpath, Path(name).name if isinstance(name, str) else PurePosixPath(path).name


def _frame(data: Any) -> Path | bytes:
    """The frame of what is appended."""
    if isinstance(data, str | os.PathLike):
        file = Path(data)
        if file.suffix != ".npy":
            return file
        try:
            data = np.load(file, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise BadRequest(f"{file} can't be read: {error}") from None
    if not isinstance(data, blosc2.NDArray):
        # Contiguous, since else its frame is a broken one for items over 255 bytes.
        data = blosc2.asarray(np.asarray(data, order="C"), contiguous=True)
    return bytes(data.to_cframe())
