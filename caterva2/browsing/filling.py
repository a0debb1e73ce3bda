"""What searches left unknown is described in the background, so that later ones find it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from caterva2.browsing.facts import KnownFacts
from caterva2.errors import CatervaError
from caterva2.limits.constants import REQUEST_INFOS
from caterva2.names import DatasetPath, RootName

log = logging.getLogger(__name__)
ROOTS: Final = 256
"""Roots that wait at a time; a search in another one is not gone on with."""
PATIENCE_S: Final = 30.0
"""Seconds after which a step is given up, and with it the root."""


class Described(Protocol):
    """A root that is described."""

    @property
    def facts(self) -> KnownFacts:
        """The facts that are known of its datasets."""
        ...

    async def learn(self, paths: Sequence[DatasetPath]) -> int:
        """Describe datasets to know their facts; return of how many these are known now."""
        ...


@dataclass(slots=True)
class _Rest:
    """The datasets of a root that are left."""

    root: Described
    paths: Sequence[DatasetPath]
    at: int = 0

    def step(self) -> list[DatasetPath]:
        """Return the next datasets that are not known yet, in one request's worth of paths."""
        taken = self.paths[self.at : self.at + REQUEST_INFOS]
        self.at += len(taken)
        return [path for path in taken if self.root.facts.get(path) is None]

    @property
    def ended(self) -> bool:
        """Whether nothing is left, or no memory for it."""
        return self.at >= len(self.paths) or self.root.facts.full


class Filling:
    """Describes datasets that searches left unknown, of one root after the other.

    It makes one request at a time, and rests after each of them as long as that took: at least half
    of what a publisher can do is left for reads. A root ends when all is known, when the memory
    for its facts is full, or when its publisher describes nothing.
    """

    def __init__(self) -> None:
        self._rests: dict[RootName, _Rest] = {}
        self._wanted = asyncio.Event()

    def start(self, name: RootName, root: Described, paths: Sequence[DatasetPath]) -> bool:
        """Describe datasets of a root from now on, in place of those that were left of it.

        Return whether that is done.
        """
        rest = _Rest(root, paths)
        if rest.ended or (name not in self._rests and len(self._rests) >= ROOTS):
            return False
        self._rests[name] = rest
        self._wanted.set()
        return True

    def describes(self, name: RootName) -> bool:
        """Return whether datasets of a root are left, which will be described."""
        return name in self._rests

    async def run(self) -> NoReturn:
        """Describe what is left, until cancelled."""
        while True:
            await self._wanted.wait()
            for name, rest in list(self._rests.items()):
                await self._step(name, rest)
            if not self._rests:
                self._wanted.clear()

    async def _step(self, name: RootName, rest: _Rest) -> None:
        clock = asyncio.get_running_loop().time
        started = clock()
        goes_on = await _described(name, rest)
        if self._rests.get(name) is rest and not goes_on:
            del self._rests[name]
        await asyncio.sleep(clock() - started)


async def _described(name: RootName, rest: _Rest) -> bool:
    """Describe a few of what is left of a root; return whether others follow."""
    paths = rest.step()
    try:
        async with asyncio.timeout(PATIENCE_S):
            done = not paths or await rest.root.learn(paths)
    except (CatervaError, TimeoutError) as error:
        log.info("datasets of %s are not described for searches: %r", name, error)
        return False
    except Exception:
        log.exception("datasets of %s can't be described for searches", name)
        return False
    return bool(done) and not rest.ended
