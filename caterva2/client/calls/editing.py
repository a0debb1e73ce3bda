"""Editing: changes of the special roots."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from caterva2.client.http.content import Content
from caterva2.client.http.resumed import Resumed
from caterva2.client.http.upload import FileForm
from caterva2.client.lazy.recipe import recipe
from caterva2.client.transport import Transport
from caterva2.client.types import Local, Progress, RemotePath
from caterva2.errors import BadRequest
from caterva2.rest import paths
from caterva2.rest.paths import relative


class Editing:
    """Calls that change special roots.

    Those with an ``etag``, such as ``dataset.meta["etag"]``, change nothing and raise
    `PreconditionFailed` if the file has another version by then, or does not exist. ``"*"`` is any
    version.

    Attributes
    ----------
    transport : Transport
    """

    transport: Transport

    def upload(
        self, localpath: Local, path: RemotePath, progress: Progress | None = None,
        *, unpack: bool = False, etag: str | None = None,
    ) -> PurePosixPath:  # fmt: skip
        """Put a file into a special root, replacing one of the same name; return its path.

        A file of 8 MiB and more goes on where a lost connection interrupted it, and where
        another process did that was ended: call it again with the file as it was.

        Parameters
        ----------
        localpath : path, bytes or binary file
        path : str
            Such as ``@public/x.b2nd``; below a directory that exists, or if it ends with a
            slash, the file keeps its name.
        progress : callable, optional
            Called with the bytes sent and, if known, the bytes in total.
        unpack : bool
            Make a new directory of the content of a ``.zip`` or ``.tar.gz``.
        etag : str, optional
            The version to replace; a small file is not sent again then.
        """
        content, headers = Content.of(localpath, path), _matching(etag)
        stored = None
        if content.size is not None and content.size >= self.transport.limits.resumed:
            upload = Resumed(self.transport, content, progress)
            stored = upload.send(path, unpack=unpack, headers=headers)
        if stored is None:
            stored = FileForm(content, progress).send(
                self.transport, relative(paths.UPLOAD, path), str, repeatable=not headers,
                unpack=unpack, headers=headers,
            )  # fmt: skip
        return PurePosixPath(stored)

    def append(self, path: RemotePath, data: Any, *, etag: str | None = None) -> tuple[int, ...]:
        """Append to an array in a special root, along its first axis; return its new shape.

        Parameters
        ----------
        path : str
        data : array, or path of a ``.b2nd`` or ``.npy`` file
            Of the same dtype, and of the same shape but for the first axis.
        etag : str, optional
            The version to append to.
        """
        from caterva2.client.read import frames

        form = FileForm(Content(frames.cframe_of(data), "data.b2nd"))
        target, headers = relative(paths.APPEND, path), _matching(etag)
        shape = form.send(self.transport, target, list, repeatable=False, headers=headers)
        return tuple(shape)

    def move(self, src: RemotePath, dst: RemotePath, *, etag: str | None = None) -> PurePosixPath:
        """Move a file or directory within or between special roots; return its new path.

        ``etag`` is the version of the file to move.
        """
        return self._post(relative(paths.MOVE), {"src": str(src), "dst": str(dst)}, etag)

    def copy(self, src: RemotePath, dst: RemotePath, *, etag: str | None = None) -> PurePosixPath:
        """Copy a file, a directory or any root into a special root; return the copy's path.

        ``etag`` is the version of the file to copy.
        """
        return self._post(relative(paths.COPY), {"src": str(src), "dst": str(dst)}, etag)

    def remove(self, path: RemotePath, *, etag: str | None = None) -> PurePosixPath:
        """Remove a file, or a directory with its content; return its path.

        ``etag`` is the version of the file to remove.
        """
        return self._post(relative(paths.REMOVE, path), None, etag)

    def trash(self) -> list[dict[str, Any]]:
        """Return what was removed and can be restored, the last one first.

        Each has an ``id``, its ``path``, ``size``, and when it was ``removed`` and ``expires``.
        """
        found: list[dict[str, Any]] = self.transport.json(dict, "GET", relative(paths.TRASH))[
            "items"
        ]
        return found

    def restore(self, item: str) -> PurePosixPath:
        """Move something from the trash, by its ``id``, to where it was; return its path."""
        return self._post(relative(paths.TRASHED, item), None)

    def empty_trash(self, item: str | None = None) -> int:
        """Remove something in the trash for good, or all of it; return its bytes."""
        target = relative(paths.TRASH) if item is None else relative(paths.TRASHED, item)
        return self.transport.json(int, "DELETE", target)

    def lazyexpr(
        self, name: RemotePath, expression: Any, operands: Mapping[str, Any] | None = None,
        *, compute: bool = False,
    ) -> PurePosixPath:  # fmt: skip
        """Store an expression, a dataset computed from others on each read; return its path.

        Parameters
        ----------
        name : str
            A path in ``@personal``, or in the special root that it begins with; ``.b2nd`` is
            added if it is missing.
        expression : str or blosc2.LazyExpr
            Such as ``"a + sin(b)"``; a lazy expression has its operands, remote arrays.
        operands : dict, optional
            The datasets that its names stand for: paths, or objects of this client.
        compute : bool
            Compute it now and store the result.
        """
        body = recipe(name, expression, operands, compute)
        return self._post(relative(paths.LAZYEXPR), body)

    def _post(
        self, target: str, body: Mapping[str, Any] | None, etag: str | None = None
    ) -> PurePosixPath:
        headers = _matching(etag)
        path = self.transport.json(str, "POST", target, None, body, headers=headers)
        return PurePosixPath(path)


def _matching(etag: str | None) -> dict[str, str]:
    """Return the header by which a change is made of one version only.

    Raises
    ------
    BadRequest
        If it is no version.
    """
    if etag is None:
        return {}
    if not isinstance(etag, str) or not re.fullmatch(r"\*|[A-Za-z0-9_.:+/=-]{1,128}", etag):
        raise BadRequest(f"{str(etag)[:80]!r} is not a version, as meta['etag'] of a dataset is")
    return {"If-Match": etag if etag == "*" else f'"{etag}"'}
