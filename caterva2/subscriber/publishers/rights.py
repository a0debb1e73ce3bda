"""Who may read published roots, as their publishers say; kept as long as what is cached of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from caterva2.accounts.readers import EVERYBODY, NOBODY, PUBLIC, Readers
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.runtime import statefile
from caterva2.runtime.uncancellable import in_thread
from caterva2.subscriber.publishers.choice import Behind
from caterva2.wire.messages import PublisherHello

log = logging.getLogger(__name__)
FILE = "rights.json"
FORMAT = 1
RETRY_S = 10.0
"""Seconds until a file that could not be written is written again."""
_LOST = "published roots are hidden until their publishers say who may read them"


class Known(NamedTuple):
    """The name of a root's rights, and the readers that it stands for."""

    rights: str
    readers: Readers


OPEN = Known("", EVERYBODY)
UNKNOWN = Known("?", NOBODY)
"""Of a root whose publisher has to be asked: no publisher names its rights so."""


class PublishedRights:
    """The readers of published roots.

    A broker announces the name of a root's rights. A root with an unknown name is hidden from
    all users until its publisher sends the readers that the name stands for.

    Parameters
    ----------
    file : Path
        Where they outlive the subscriber.
    on_change : callable, optional
        Called with a root whose readers are known now.
    ask : callable, optional
        Called with a root whose publisher has to be asked who they are.
    kept : callable, optional
        Says whether anything of a root outlived the last run. The rights of others are forgotten:
        nothing of them is read before their publishers say who may.
    on_doubt : callable, optional
        Called with a root whose readers are others from now on.

    Raises
    ------
    StartError
        If the file can't be read.
    """

    def __init__(
        self,
        file: Path,
        on_change: Callable[[RootName], None] = lambda _: None,
        ask: Callable[[RootName], None] = lambda _: None,
        kept: Callable[[RootName], bool] = lambda _: True,
        on_doubt: Callable[[RootName], None] = lambda _: None,
    ) -> None:
        self._file = file
        self._on_change, self._on_doubt = on_change, on_doubt
        self._ask = ask
        self._known: dict[RootName, Known] = {}
        found = statefile.read(file, FORMAT, self._parse, _LOST)
        damaged = not found and file.with_name(f"{file.name}.bad").exists()
        self._others = UNKNOWN if damaged or _OTHERS in self._known else OPEN
        self._known.pop(_OTHERS, None)
        self._changed = asyncio.Event()
        gone = [name for name in self._known if not kept(name)]
        for name in gone:
            del self._known[name]
        if damaged or gone:  # the next start finds no damage
            self._changed.set()

    def _parse(self, _format: int, content: Any) -> bool:
        for name, (rights, readers) in content["roots"].items():
            known = Known(str(rights), frozenset(map(str, readers)))
            self._known[RootName(name)] = UNKNOWN if known == UNKNOWN else known
        return True

    def _get(self, root: RootName) -> Known:
        return self._known.get(root, self._others)

    def readers(self, root: RootName) -> Readers:
        """Return the readers of a root; those of one that was never restricted are everybody."""
        return self._get(root).readers

    def named(self) -> Iterator[str]:
        """Yield the readers that any publisher names."""
        for known in self._known.values():
            yield from known.readers

    def said(
        self, hello: PublisherHello, where: RootInfo, *, by_publisher: bool
    ) -> Iterable[str] | None:
        """Return the readers to be learned; None where the word of a mirror does not count.

        A mirror is shown the readers that count there. So it never opens a root to everybody.

        Raises
        ------
        Behind
        """
        if by_publisher:
            return hello.readers
        if hello.rights != where.rights:
            raise Behind("it does not know yet who may read the root", after_ms=500)
        if self.knows(hello.root, where.rights):
            return None
        return [word for word in hello.readers if word != PUBLIC]

    def knows(self, root: RootName, rights: str) -> bool:
        """Return whether it is known for which readers a name of a root's rights stands."""
        return self._get(root).rights == rights

    def announced(self, root: RootName, rights: str) -> bool:
        """Note the name of a root's rights; return whether its publisher has to be asked."""
        known = self._get(root)
        if known.rights == rights:
            return False
        if known is not UNKNOWN:
            self._put(root, UNKNOWN)
        return True

    def heard(self, root: RootName, hello: PublisherHello) -> None:
        """Note what the publisher of a root answered to a probe: no broker may have said so."""
        if self.announced(root, hello.rights):
            self._ask(root)

    def learned(self, root: RootName, rights: str, readers: Iterable[str]) -> None:
        """Note what a publisher said."""
        known = Known(rights, frozenset(readers)) if rights else OPEN
        if known != self._get(root):
            self._put(root, known)
            self._on_change(root)

    def _put(self, root: RootName, known: Known) -> None:
        if known == self._others:
            self._known.pop(root, None)
        else:
            self._known[root] = known
        self._on_doubt(root)
        self._changed.set()

    async def keep(self) -> None:
        """Write the file whenever something changed, until cancelled, and then a last time."""
        try:
            while True:
                await self._changed.wait()
                if not await self._written():
                    await asyncio.sleep(RETRY_S)
        finally:
            if self._changed.is_set():
                await self._written()

    async def _written(self) -> bool:
        self._changed.clear()
        known = dict(self._known)
        if self._others is UNKNOWN:
            known[_OTHERS] = UNKNOWN
        roots = {name: [one.rights, sorted(one.readers)] for name, one in known.items()}
        try:
            await in_thread(lambda: statefile.write(self._file, FORMAT, {"roots": roots}))
        except OSError as error:
            log.error("%s can't be written: %s", self._file, error)
            self._changed.set()
            return False
        return True


_OTHERS = RootName("@others")
"""In the file: roots that it does not name are unknown."""
