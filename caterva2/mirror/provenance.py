"""Where the data of mirrored roots is from: kept over restarts, so that no ring is formed."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from caterva2.errors import Loop
from caterva2.limits.constants import MIRROR_HOPS
from caterva2.model import Model, Origin
from caterva2.names import RootName
from caterva2.runtime import statefile
from caterva2.subscriber.remote_root import RemoteRoot

FILE = "mirrors.json"
FORMAT = 1
_LOST = "the name of this mirror, and by which others its roots come, are found out anew"


class Saved(Model):
    """What outlives the mirror of one root."""

    origin: Origin
    rights: str = ""
    readers: tuple[str, ...] = ()


class Provenance:
    """The name of this mirror, and the origins of its roots.

    Reading belongs in a thread.

    Parameters
    ----------
    directory : Path
        The state directory.
    place : str
        Identity of that. A copy of it has another, and gets another name.

    Attributes
    ----------
    name : str
        Of this mirror.
    urgent : bool
        Whether what is not saved yet would change what is served after a crash.
    """

    def __init__(self, directory: Path, place: str) -> None:
        self._path = directory / FILE
        self._place = place
        self._known: dict[RootName, Saved] = {}
        self.name = ""
        statefile.read(self._path, FORMAT, self._parse, _LOST)
        self._changed = self.urgent = not self.name
        self.name = self.name or secrets.token_hex(8)

    def _parse(self, _format: int, content: Any) -> bool:
        for name, saved in content["roots"].items():
            self._known[RootName(name)] = Saved.model_validate(saved, strict=False)
        if content["place"] == self._place:
            self.name = str(content["name"])
        return True

    def of(self, root: RemoteRoot) -> Saved | None:
        """Return where the catalog of a root is from; None before the first."""
        catalog = root.catalog
        hello, saved = catalog.greeting, self._known.get(root.name)
        if hello is not None and hello.inst == catalog.inst:
            saved = self._heard(root, hello.origin, hello.fence)
            saved = saved.model_copy(update={"rights": hello.rights, "readers": hello.all_readers})
            before = self._known.get(root.name)
            if saved != before:
                self._known[root.name], self._changed = saved, True
                self.urgent |= before is None or _lasting(saved) != _lasting(before)
        if saved is None or saved.origin.inst != catalog.inst or not catalog.known:
            return None
        away = saved.origin.away or root.offline or not catalog.of_this_run
        fields = {"rev": max(0, catalog.revision), "away": away}
        return saved.model_copy(update={"origin": saved.origin.model_copy(update=fields)})

    def _heard(self, root: RemoteRoot, source: Origin | None, fence: int) -> Saved:
        heard, rev = root.catalog.heard or 0.0, max(0, root.catalog.revision)
        if source is None:
            return Saved(
                origin=Origin(
                    inst=root.catalog.inst, fence=fence, rev=rev, path=(self.name,), as_of=heard
                )
            )
        path = (*source.path, self.name)[:MIRROR_HOPS]
        as_of = source.as_of if source.away else max(source.as_of, heard)
        return Saved(origin=source.model_copy(update={"path": path, "as_of": as_of, "rev": rev}))

    def refuse_loop(self, root: RemoteRoot) -> None:
        """Raise an error if a root can't be served, since its data comes by this mirror.

        Raises
        ------
        Loop
        """
        hello = root.catalog.greeting
        if hello is not None and hello.origin is not None:
            refuse_loop(hello.origin, self.name, root.name)

    def write(self) -> None:
        """Save what is known, if it changed. Blocks.

        Raises
        ------
        OSError
        """
        if not self._changed:
            return
        self._changed = self.urgent = False
        known = self._known.copy()  # it grows meanwhile
        roots = {name: saved.model_dump(mode="json") for name, saved in known.items()}
        content = {"name": self.name, "place": self._place, "roots": roots}
        try:
            statefile.write(self._path, FORMAT, content)
        except OSError:
            self._changed = True
            raise


def _lasting(saved: Saved) -> Saved:
    """Return what is known of a root without that which changes all the time."""
    fields = {"rev": 0, "as_of": 0.0}
    return saved.model_copy(update={"origin": saved.origin.model_copy(update=fields)})


def refuse_loop(source: Origin, mirror: str, root: RootName) -> None:
    """Raise `Loop` if a mirror must not take a root from another one."""
    way = " > ".join(source.path)
    if mirror in source.path:
        raise Loop(f"root {root} would come back to mirror {mirror}: {way}")
    if len(source.path) >= MIRROR_HOPS:
        raise Loop(f"root {root} has passed MIRROR_HOPS ({MIRROR_HOPS}) mirrors already: {way}")
