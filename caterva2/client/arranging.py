"""What a client moves about in the special roots, or has computed there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from caterva2.client.http.connections import Unreachable
from caterva2.client.http.transport import Transport
from caterva2.errors import BadRequest

RemotePath = str | PurePosixPath


class Arranging:
    """Move, copy, remove, compute: what needs a user, and nothing that values are read with."""

    _transport: Transport

    def move(self, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        """Move a file or directory within or between special roots; where it is now."""
        return self._moved("move", src, dst)

    def copy(self, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        """Copy a file, a directory or a root of any kind into a special root; the copy's path."""
        return self._moved("copy", src, dst)

    def _moved(self, how: str, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        body = json.dumps({"src": str(src), "dst": str(dst)}).encode()
        answer = self._transport.request("POST", f"api/{how}/", body=body)
        return PurePosixPath(checked(answer.json(), str))

    def remove(self, path: RemotePath) -> PurePosixPath:
        """Remove a file, or a directory with all that is in it; what was removed."""
        answer = self._transport.request("POST", f"api/remove/{path}")
        return PurePosixPath(checked(answer.json(), str))

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
        return PurePosixPath(checked(answer.json(), str))


def _remote_path(name: str, operand: Any) -> str:
    path = getattr(operand, "path", operand)
    if not isinstance(path, str | PurePosixPath):
        raise BadRequest(f"operand {name} is {type(operand).__name__}, not a dataset or its path")
    return str(path)


def checked(found: Any, kind: type[Any]) -> Any:
    """What the subscriber answered, if it is of the kind that was expected."""
    if not isinstance(found, kind):
        raise Unreachable(f"the subscriber answered by {type(found).__name__}")
    return found
