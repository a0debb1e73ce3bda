"""A publisher's lease of its root: registered, renewed, given back, and remembered on disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caterva2.errors import CatervaError, DeadlineExceeded, RootOffline, RootTaken, VersionMismatch
from caterva2.limits.constants import FENCE
from caterva2.names import RootName
from caterva2.publisher.announcer import Announcer
from caterva2.runtime import statefile
from caterva2.runtime.tasks import until_tick
from caterva2.wire import messages
from caterva2.wire.broker_link import BrokerLink

log = logging.getLogger(__name__)
RENEWAL_CHECK = 2.5
"""Seconds within which a holder that is alive has renewed its lease."""
REGISTER_BEATS = 3
"""Beats, which renew the lease, after which the publisher registers, to see that it holds it."""
SHORTEST_BEAT = 0.01
"""Seconds between beats, or registrations, for a broker that wants them faster."""
LEASE_FILE = "lease.json"
"""In the state directory of a publisher."""
FORMAT = 2
"""Of the lease's file; 1 was a mapping from the root's name to ``inst`` and ``fence``."""
_LOST = (
    "the fence in it is lost; the broker remembers it. If this publisher was killed, its root is "
    "taken once that lease has expired"
)
_TRANSIENT = (DeadlineExceeded, RootOffline)


@dataclass(frozen=True, slots=True)
class SavedLease:
    """The publisher's run that held a root last, and the fence of its lease."""

    inst: str = ""
    fence: int = 0


def root_of(path: Path) -> RootName | None:
    """Return the root of a lease's file; None if there is none, or it does not say that."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, CatervaError):
        return RootName(json.loads(path.read_bytes())["root"])
    return None


class LeaseFile:
    """The file in which a root's last lease outlives the publisher.

    Parameters
    ----------
    path : Path
    root : RootName
        A lease of another root in the file does not count.
    place : str
        Identity of the state directory. A copy of one has another: then the run that held the root
        may go on where the copy was made, so its name does not count.
    """

    def __init__(self, path: Path, root: RootName, place: str = "") -> None:
        self._path = path
        self._root = root
        self._place = place

    def read(self) -> SavedLease:
        """Read the lease of an earlier run; an empty one if there was none, or it is damaged.

        A damaged file is set aside, with a warning.

        Raises
        ------
        StartError
            If the file can't be read, or a newer version of this program wrote it.
        """
        return statefile.read(self._path, FORMAT, self._parse, _LOST) or SavedLease()

    def _parse(self, version: int, content: Any) -> SavedLease:
        if version == 1:
            content = {"root": self._root, **content.get(self._root, {"root": ""})}
        if content["root"] != self._root:
            return SavedLease()
        # The message that gives the lease back has the types and the bounds of both.
        lease = messages.Unregister(root=self._root, inst=content["inst"], fence=content["fence"])
        if lease.fence >= FENCE:
            raise ValueError(f"fence {lease.fence}")
        is_here = content.get("place", "") == self._place
        return SavedLease(lease.inst if is_here else "", lease.fence)

    def write(self, lease: SavedLease) -> None:
        """Replace the saved lease; a failure is logged. Blocks."""
        content = {"root": self._root, "inst": lease.inst, "fence": lease.fence}
        content["place"] = self._place
        try:
            statefile.write(self._path, FORMAT, content)
        except OSError as error:
            log.error("%s can't be written: %s", self._path, error)


class Lease:
    """The state of a lease, and the messages about it. Pure.

    Parameters
    ----------
    root : RootName
    inst : str
        Names this run of the publisher.
    endpoint : str
        Where subscribers reach its data socket.
    ttl : float
        Seconds until the lease expires without a renewal.
    former : SavedLease
    key : str, optional
        The publisher's public key.
    rights : callable, optional
        Gives the name of who may read the root.
    """

    def __init__(
        self,
        root: RootName,
        inst: str,
        endpoint: str,
        ttl: float,
        former: SavedLease,
        key: str = "",
        rights: Callable[[], str] = str,
    ) -> None:
        self.root = root
        self._rights = rights
        self.inst = inst
        self.fence = former.fence
        self.former_inst = self._former = former.inst
        self._endpoint = endpoint
        self._key = key
        self._ttl_ms = int(ttl * 1000)

    @property
    def saved(self) -> SavedLease:
        """The part of the state that a later run needs."""
        return SavedLease(self.inst, self.fence)

    def registration(self) -> messages.Register:
        """Return the request that obtains or renews the lease."""
        return messages.Register(
            root=self.root, inst=self.inst, fence=self.fence, endpoints=(self._endpoint,),
            ttl_ms=self._ttl_ms, curve_key=self._key, rights=self._rights(), former=self._former,
        )  # fmt: skip

    def return_of(self, inst: str) -> messages.Unregister:
        """Return the request that ends the lease of a run of this publisher."""
        return messages.Unregister(root=self.root, inst=inst, fence=self.fence)

    def beat(self, rev: int) -> messages.RootBeat:
        """Return the note that the root is alive, at a revision of its catalog."""
        return messages.RootBeat(root=self.root, inst=self.inst, fence=self.fence, rev=rev)


class ExpiryWait:
    """Decides whether a lease that another publisher holds is worth waiting for. Pure.

    A refusal carries the remaining time of the lease. If that is shorter than at the last request,
    its holder did not renew it, and was probably killed.
    """

    def __init__(self) -> None:
        self._left = math.inf

    def pause(self, refused: RootTaken) -> float | None:
        """Return the seconds to wait before the next request, None if the holder is alive."""
        before, self._left = self._left, int(str(refused.info.get("lease_ms", 0))) / 1000
        if self._left > before - RENEWAL_CHECK / 2:
            return None
        return min(RENEWAL_CHECK, self._left + 0.1)


class LeaseKeeper:
    """Holds the lease at the broker while the publisher runs.

    Parameters
    ----------
    lease : Lease
    file : LeaseFile
    link : BrokerLink
    lost : asyncio.Event
        Set when the connection to the broker is lost.
    announcer : Announcer
    rev : callable
        Gives the current revision of the catalog.

    Attributes
    ----------
    held : bool
        Whether the broker granted the lease, and was heard since.
    """

    def __init__(
        self,
        lease: Lease,
        file: LeaseFile,
        link: BrokerLink,
        lost: asyncio.Event,
        announcer: Announcer,
        rev: Callable[[], int],
    ) -> None:
        self._lease = lease
        self._file = file
        self._link = link
        self._lost = lost
        self._announcer = announcer
        self._rev = rev
        self.held = False

    async def hold(self) -> None:
        """Register, beat, and register anew when the broker was away or is another one.

        Raises
        ------
        RootTaken
            If another publisher holds the root and is alive.
        """
        while True:
            self._lost.clear()
            hello = await self._link.hello()
            self._announcer.connect(hello.xsub)
            try:
                granted = await self._register()
            except _TRANSIENT as error:
                log.warning("not registered: %s", error)
                continue
            await self._take(granted)
            log.info("root %s registered, fence %d", self._lease.root, self._lease.fence)
            self.held = True
            try:
                await self._beat_until_lost(granted)
            finally:
                self.held = False

    async def _take(self, granted: messages.Registered) -> None:
        """Use a fence from now on, and remember it."""
        if granted.fence != self._lease.fence:
            self._lease.fence = granted.fence
            await asyncio.to_thread(self._file.write, self._lease.saved)

    async def give_back(self) -> None:
        """End the lease, so that another publisher need not wait until it expires."""
        await self._give_back(self._lease.inst)

    async def _give_back(self, inst: str) -> None:
        try:
            await self._link.unregister(self._lease.return_of(inst))
        except CatervaError as error:
            log.info("the root was not given back: %s", error)

    async def _register(self) -> messages.Registered:
        """Request the lease; wait until a lease that its holder does not renew has expired.

        The lease of a former run of this publisher, which was killed, is given back first: it
        has ended for sure, since this run has locked the state directory that it had.
        """
        if self._lease.former_inst:
            await self._give_back(self._lease.former_inst)
            self._lease.former_inst = ""
        wait = ExpiryWait()
        while True:
            try:
                return await self._renewed()
            except RootTaken as error:
                pause = wait.pause(error)
                if pause is None:
                    raise
                log.info("waiting until the lease of a former publisher expires: %s", error)
                await asyncio.sleep(pause)

    async def renew(self) -> None:
        """Register at once, since what is announced has changed; else that waits for a beat."""
        with contextlib.suppress(CatervaError):
            await self._take(await self._renewed())

    async def _renewed(self) -> messages.Registered:
        """Register; `VersionMismatch` if the broker does not announce who may read the root."""
        request = self._lease.registration()
        granted = await self._link.register(request)
        if granted.rights != request.rights:
            raise VersionMismatch(
                f"the broker does not announce who may read root {request.root}: it needs a newer"
                " version of caterva2"
            )
        return granted

    async def _beat_until_lost(self, granted: messages.Registered) -> None:
        beat = max(SHORTEST_BEAT, granted.beat_ms / 1000)
        # At least twice in the time of a lease; and after a stop or a standstill of the process at
        # once, since the lease may have expired.
        pause = min((REGISTER_BEATS - 0.5) * beat, max(SHORTEST_BEAT, granted.lease_ms / 3000))
        due = time.monotonic() + until_tick(pause)
        while True:
            self._announcer.announce(self._lease.beat(self._rev()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_tick(beat)):
                    await self._lost.wait()
                log.warning("the broker is away")
                return
            if time.monotonic() < due:
                continue
            try:
                # Registering again renews the lease, and shows whether it was lost meanwhile.
                renewed = await self._renewed()
            except _TRANSIENT as error:
                log.warning("the broker is away: %s", error)
                return
            if (renewed.binst, renewed.fence) != (granted.binst, granted.fence):
                return
            due = time.monotonic() + until_tick(pause)
