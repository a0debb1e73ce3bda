"""What a client changes in the special roots."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import blosc2
import numpy as np

from caterva2.client.connections import Unreachable
from caterva2.client.downloading import Progress
from caterva2.client.sending import FileForm
from caterva2.client.transport import Transport
from caterva2.errors import BadName, BadRequest

RemotePath = str | PurePosixPath
Local = str | os.PathLike[str] | bytes | BinaryIO


class Writing:
    """Upload, append, move, copy and remove: what needs a user.

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

    def move(self, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        """Move a file or directory within or between special roots; where it is now."""
        return self._moved("move", src, dst)

    def copy(self, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        """Copy a file, a directory or a root of any kind into a special root; the copy's path."""
        return self._moved("copy", src, dst)

    def _moved(self, how: str, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        body = json.dumps({"src": str(src), "dst": str(dst)}).encode()
        answer = self._transport.request("POST", f"api/{how}/", body=body)
        return PurePosixPath(_checked(answer.json(), str))

    def remove(self, path: RemotePath) -> PurePosixPath:
        """Remove a file, or a directory with all that is in it; what was removed."""
        answer = self._transport.request("POST", f"api/remove/{path}")
        return PurePosixPath(_checked(answer.json(), str))

    def lazyexpr(
        self,
        name: RemotePath,
        expression: Any,
        operands: Mapping[str, Any] | None = None,
        *,
        compute: bool = False,
    ) -> PurePosixPath:
        """Make a dataset that is computed of others whenever it is read.

        Parameters
        ----------
        name : str
            Where it goes: a path in ``@personal``, or in the special root that it begins with;
            ``.b2nd`` is added if it lacks.
        expression : str or blosc2.LazyExpr
            Such as ``"a + sin(b)"``; a lazy expression brings its operands, remote arrays, along.
        operands : dict, optional
            The datasets that the names in it mean: paths, or objects of this client.
        compute : bool
            Compute all of it now, and store the result.

        Returns
        -------
        PurePosixPath
            Where it is.
        """
        text = getattr(expression, "expression", expression)
        if not isinstance(text, str):
            raise BadRequest(f"the expression is {type(expression).__name__}, not text")
        given = expression.operands if operands is None and text is not expression else operands
        paths = {key: _remote_path(key, operand) for key, operand in (given or {}).items()}
        body = {"name": str(name), "expression": text, "operands": paths, "compute": compute}
        packed = json.dumps(body).encode()
        answer = self._transport.request("POST", "api/lazyexpr/", body=packed)
        return PurePosixPath(_checked(answer.json(), str))

    def _sent(
        self,
        target: str,
        form: FileForm,
        kind: type[Any],
        query: dict[str, str] | None,
        repeatable: bool,
    ) -> Any:
        answer = self._transport.request("POST", target, query, form.headers, form, repeatable)
        return _checked(answer.json(), kind)


def _remote_path(name: str, operand: Any) -> str:
    path = getattr(operand, "path", operand)
    if not isinstance(path, str | PurePosixPath):
        raise BadRequest(f"operand {name} is {type(operand).__name__}, not a dataset or its path")
    return str(path)


def _checked(found: Any, kind: type[Any]) -> Any:
    if not isinstance(found, kind):
        raise Unreachable(f"the subscriber answered by {type(found).__name__}")
    return found


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
