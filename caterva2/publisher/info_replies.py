"""Replies that describe several datasets."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Protocol

from caterva2.errors import CatervaError
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.wire import messages

TURN = 0.05
"""Seconds for which one reply is made before another one is."""
Described = DatasetInfo | messages.Refused


class Describes(Protocol):
    """What describes datasets, such as a source."""

    def info(self, path: DatasetPath, deadline: float = ...) -> DatasetInfo:
        """Describe the current version of a dataset."""
        ...


class Describer:
    """Describes several datasets at once; may be called from several threads.

    Parameters
    ----------
    source : Describes
    limits : PublisherLimits, optional
    """

    def __init__(self, source: Describes, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self._source = source
        self._limits = limits
        # A description is some short calls. Concurrent threads acquire and release the interpreter
        # lock at each of them, which takes more processor time; and all replies would be ready
        # last, when a requester could check the first while the second is made.
        self._turn = threading.Lock()

    def answer(self, request: messages.InfosRequest, deadline: float) -> messages.Infos:
        """Return as many of the descriptions as fit into a reply and are made in a short time.

        Parameters
        ----------
        request : InfosRequest
        deadline : float
            For the source, in monotonic seconds.
        """
        infos: list[DatasetInfo] = []
        refused: list[messages.Refused] = []
        room, until = self._limits.infos_bytes, time.monotonic() + self._limits.infos_time
        with contextlib.closing(self._in_turns(request.paths, deadline)) as answers:
            for answer in answers:
                size = _size(answer)
                if (infos or refused) and (size > room or time.monotonic() > until):
                    break
                if isinstance(answer, messages.Refused):
                    refused.append(answer)
                else:
                    infos.append(answer)
                room -= size
        done = len(infos) + len(refused)
        # The constructor would check each description once more: it was checked when it was made.
        return messages.Infos.model_construct(
            id=request.id, done=done, infos=tuple(infos), refused=tuple(refused)
        )

    def _in_turns(
        self, paths: Sequence[DatasetPath], deadline: float
    ) -> Generator[Described, None, None]:
        """Describe datasets one after the other; replies to others wait for a turn."""
        left = deque(paths)
        while left:
            with self._turn:
                until = time.monotonic() + TURN
                while left and time.monotonic() < until:
                    yield self._one(left.popleft(), deadline)

    def _one(self, path: DatasetPath, deadline: float) -> Described:
        try:
            return self._source.info(path, deadline)
        except CatervaError as error:
            return messages.Refused(path=path, name=error.name, detail=error.detail[:1024])


def _size(answer: Described) -> int:
    """Estimate the bytes of a description in a message, rather too high than too low."""
    size = 600 + len(answer.path.encode())
    if isinstance(answer, messages.Refused):
        return size + len(answer.detail.encode())
    numbers = 9 * (3 * len(answer.shape) + 24)
    layers = [*answer.vlmeta.items(), *answer.metalayers.items()]
    extra = sum(len(name.encode()) + len(value) + 10 for name, value in layers)
    typed = answer.attrs_bytes + 10 * len(answer.attrs)
    return size + len(answer.dtype.encode()) + numbers + extra + typed
