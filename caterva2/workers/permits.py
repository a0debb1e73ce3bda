"""What a worker may answer: permissions of the core, each for a token and a dataset.

A permission counts as long as the numbers of `generations` that came with it do, and for the time
that the core would rely on what it knows of the user.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.errors import CatervaError
from caterva2.limits import CacheLimits
from caterva2.limits.constants import MIB
from caterva2.model import DatasetInfo, User
from caterva2.names import DatasetPath, RootName
from caterva2.reading import nonblocking
from caterva2.runtime.lru import Lru
from caterva2.workers.generations import Marks, SeenGenerations
from caterva2.workers.replica import Place, ReadReplica

KEPT = 4096
"""Permissions, and users, that are kept."""
BLOCKS: Final = 16 * MIB
"""Bytes of decoded blocks that are kept, since what is asked for often lies in few of them."""
BLOCK_COST: Final = 512
"""Bytes of memory that a kept block takes beside its values, which may be those of one item."""
REFUSED = 1.0
"""Seconds for which the core is not asked again what it refused."""


DecodedBlocks = Lru[tuple[Place, int, int], Values]


class Key(NamedTuple):
    """What a permission is for; without a token it is a reader without login."""

    token: str
    root: RootName
    path: DatasetPath


@dataclass(slots=True)
class HeldDataset:
    """A version of a dataset that may be read, while its replica is kept open.

    Attributes
    ----------
    opened : weakref of ReadReplica
        There may be many more permissions than files that can be open.
    hits : int
        Reads that the core has not heard of yet.
    """

    opened: weakref.ref[ReadReplica]
    info: DatasetInfo
    place: Place
    offline: bool
    limits: CacheLimits
    blocks: DecodedBlocks
    hits: int = 0
    gap: Gap = field(init=False)

    def __post_init__(self) -> None:
        self.gap = Gap(dataset=self)

    @property
    def replica(self) -> ReadReplica | None:
        """Its replica; None if that is not open any more."""
        return self.opened()

    def try_values(self, selection: Selection | Points, field: FieldPath = ()) -> Values | None:
        """Return the selected values if that takes no I/O and little work."""
        replica = self.replica
        if replica is None or not isinstance(selection, Selection):
            return None
        values = nonblocking.values(replica, selection, field, self.limits, self._decoded)
        self.hits += values is not None
        return values

    def _decoded(self, replica: nonblocking.Blocks, n: int, block: int) -> Values | None:
        key = self.place, n, block
        found = self.blocks.get(key)
        if found is None:
            found = nonblocking.decoded(replica, n, block)
            if found is not None:
                self.blocks.put(key, found)
        return found

    def try_block(self, n: int, block: int) -> bytearray | None:
        """Return a block as a chunk of its own if that takes no I/O."""
        replica = self.replica
        return None if replica is None else replica.try_block(n, block)


@dataclass(frozen=True, slots=True)
class Permit:
    """A permission; without a dataset it is a refusal."""

    marks: Marks
    until: float
    dataset: HeldDataset | None


@dataclass(frozen=True, slots=True)
class Gap:
    """What the answer to the last request lacked: a permission, or a block of a replica."""

    key: Key | None = None
    dataset: HeldDataset | None = None


NOTHING = Gap()


class Permits:
    """The permissions of a worker, as `caterva2.web.early.kind.Readers` and ``Sessions``.

    Parameters
    ----------
    generations : SeenGenerations
    limits : CacheLimits

    Attributes
    ----------
    gap : Gap
    """

    def __init__(self, generations: SeenGenerations, limits: CacheLimits) -> None:
        self._generations = generations
        self._limits = limits
        self._permits: Lru[Key, Permit] = Lru(KEPT)
        self._users: Lru[str, User] = Lru(KEPT)
        self._replicas: Lru[Place, ReadReplica] = Lru(limits.open_replicas)
        self._blocks: DecodedBlocks = Lru(BLOCKS, lambda values: values.nbytes + BLOCK_COST)
        self.gap = NOTHING

    def known_user(self, token: str) -> User | None:
        """Return the user of a token; who that is was asked with the first dataset."""
        found = self._users.get(token)
        return found if found is not None else User(token, "", superuser=False)

    def for_user(self, user: User | None) -> View:
        """Return what a user may read."""
        return View(self, "" if user is None else user.ident)

    def valid(self, key: Key) -> Permit | None:
        """Return a permission that counts now."""
        permit = self._permits.get(key)
        if permit is None or time.monotonic() >= permit.until:
            return None
        return permit if self._generations.are(permit.marks) else None

    def dataset(self, key: Key) -> HeldDataset | None:
        """Return a dataset that may be read now; None notes what is lacking."""
        permit = self.valid(key)
        if permit is None:
            self.gap = Gap(key)
            return None
        found = permit.dataset
        if found is None:
            self.gap = NOTHING
            return None
        replica = self._replicas.get(found.place)
        if replica is None or replica is not found.replica:  # others were opened instead
            self.gap = Gap(key)
            return None
        self.gap, replica.unread = found.gap, None
        return found

    def refuse(self, key: Key, marks: Marks) -> None:
        """Note that the core answers by itself."""
        self._permits.put(key, Permit(marks, time.monotonic() + REFUSED, None))

    def permit(
        self,
        key: Key,
        marks: Marks,
        seconds: float,
        email: str,
        offline: bool,
        replica: ReadReplica,
    ) -> None:
        """Note that a version may be read, and keep its replica open."""
        kept = self.opened(replica.place)
        if kept is None:
            self._replicas.put(replica.place, replica)
        else:
            replica = kept
        before = self._permits.peek(key)
        found = before.dataset if before is not None else None
        if found is None or found.replica is not replica or found.offline != offline:
            known = weakref.ref(replica), replica.info, replica.place
            found = HeldDataset(*known, offline, self._limits, self._blocks)
        if key.token:
            self._users.put(key.token, User(key.token, email, superuser=False))
        self._permits.put(key, Permit(marks, time.monotonic() + seconds, found))

    def opened(self, place: Place) -> ReadReplica | None:
        """Return a replica that is kept open, unless its files were removed."""
        found = self._replicas.get(place)
        return None if found is None or found.is_removed else found

    def open(self, place: Place, root: RootName) -> ReadReplica | None:
        """Open a replica; None if it was removed in between. Blocks."""
        base, etag = place
        try:
            return ReadReplica(Path(base), root, etag, self._limits.nonblocking_maps)
        except (OSError, CatervaError):
            return None

    def tidy(self) -> None:
        """Let go of replicas whose files were removed, so that the disk gets their room back."""
        for place in self._replicas:
            replica = self._replicas.peek(place)
            if replica is not None and replica.is_removed:
                self._replicas.pop(place)

    @property
    def holds_files(self) -> bool:
        """Whether replicas are open."""
        return len(self._replicas) > 0

    def taken_hits(self) -> list[tuple[str, str, str, int]]:
        """Return root, path, etag and number of the reads that were not reported yet."""
        found: list[tuple[str, str, str, int]] = []
        for key in self._permits:
            permit = self._permits.peek(key)
            dataset = permit.dataset if permit is not None else None
            if dataset is not None and dataset.hits:
                found.append((key.root, key.path, dataset.info.etag, dataset.hits))
                dataset.hits = 0
        return found


@dataclass(frozen=True, slots=True)
class View:
    """What one token may read."""

    permits: Permits
    token: str

    def try_dataset(self, root: RootName, path: DatasetPath) -> HeldDataset | None:
        """Open a dataset if there is a permission for it."""
        return self.permits.dataset(Key(self.token, root, path))

    def answered(self, error: CatervaError) -> None:
        """Do nothing: a worker refuses nothing by itself."""
