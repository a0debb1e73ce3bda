"""What a client moves about in the special roots."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from caterva2.client.connections import Unreachable
from caterva2.client.transport import Transport

RemotePath = str | PurePosixPath


class Arranging:
    """Move, copy and remove: what needs a user, and nothing that data is read or written with."""

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


def checked(found: Any, kind: type[Any]) -> Any:
    """What the subscriber answered, if it is of the kind that was expected."""
    if not isinstance(found, kind):
        raise Unreachable(f"the subscriber answered by {type(found).__name__}")
    return found
