"""Many datasets described in one reply."""

from __future__ import annotations

import threading
import time

from caterva2 import limits
from caterva2.errors import CatervaError
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.sources.base import Source
from caterva2.wire import messages


class Describer:
    """Answers requests for the descriptions of several datasets, in whatever threads.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        # A description is a dozen short reads. Threads that do these side by side win and lose
        # the interpreter at each of them, which took twice the processor time.
        self._turn = threading.Lock()

    def answer(self, request: messages.InfosRequest) -> messages.Infos:
        """As many of the descriptions as fit into a reply and are made in a short time."""
        infos: list[DatasetInfo] = []
        refused: list[messages.Refused] = []
        room, until = limits.INFOS_BYTES, time.monotonic() + limits.INFOS_TIME
        for path in request.paths:
            with self._turn:
                told = self._one(path)
            size = _size(told)
            if (infos or refused) and (size > room or time.monotonic() > until):
                break
            if isinstance(told, messages.Refused):
                refused.append(told)
            else:
                infos.append(told)
            room -= size
        done = len(infos) + len(refused)
        return messages.Infos(id=request.id, done=done, infos=tuple(infos), refused=tuple(refused))

    def _one(self, path: DatasetPath) -> DatasetInfo | messages.Refused:
        try:
            return self._source.info(path)
        except CatervaError as error:
            return messages.Refused(path=path, name=error.name, detail=error.detail[:1024])


def _size(told: DatasetInfo | messages.Refused) -> int:
    """About the bytes of a description in a message, rather more than less."""
    size = 600 + len(told.path.encode())
    if isinstance(told, messages.Refused):
        return size + len(told.detail.encode())
    numbers = 9 * (3 * len(told.shape) + 24)
    extra = sum(len(name.encode()) + len(value) + 10 for name, value in told.vlmeta.items())
    return size + len(told.dtype) + numbers + extra
