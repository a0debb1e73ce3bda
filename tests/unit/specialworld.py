"""Special roots in this process, beside published datasets in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from samples import array_frame, describe

from caterva2.access.user_view import UserView
from caterva2.access.views import UserViews
from caterva2.accounts.policy import Policy
from caterva2.accounts.readers import EVERYBODY, Readers
from caterva2.arrays import selection
from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.selection import Selection
from caterva2.errors import CatervaError, NotFound
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import DatasetInfo, Expression, RootStatus, Upload, User
from caterva2.names import DatasetPath, Place, RootName
from caterva2.reading.dataset import ReadPool
from caterva2.runtime.events import Listeners
from caterva2.sources.directory.containers import Format
from caterva2.special.computed.dataset import ComputedDataset
from caterva2.special.root import SpecialRoot
from caterva2.special.roots import SpecialRoots

ANN = User("1", "ann@example.com", False)
BOB = User("2", "bob@example.com", False)
FOO = RootName("foo")
Array = npt.NDArray[Any]


class Published:
    """A published array, whole in memory."""

    offline = False

    def __init__(self, values: Array, etag: str) -> None:
        self._values = values
        self.info: DatasetInfo = describe(array_frame(values, {"note": "x" * 100})).model_copy(
            update={"etag": etag}
        )

    async def values(self, selection: Selection, field: FieldPath = ()) -> Values:
        key = tuple(
            axis if isinstance(axis, int) else slice(axis.start, axis.stop, axis.step)
            for axis in selection.axes
        )
        return np.asarray(self._values[key])


class Unrestricted:
    """What publishers say who restrict nothing."""

    def readers(self, _root: RootName) -> Readers:
        return EVERYBODY

    def named(self) -> tuple[str, ...]:
        return ()


class Subscriber:
    """What a view needs of a subscriber."""

    def __init__(self) -> None:
        self.pool = ReadPool(2)
        self.datasets: dict[str, Published] = {}
        self.rights = Unrestricted()

    def roots(self) -> list[RootStatus]:
        return [RootStatus(FOO, "", subscribed=True, offline=False)]

    def unknown(self, name: RootName) -> CatervaError:
        return NotFound(f"{name} not known by the broker")

    async def dataset(self, root: RootName, path: DatasetPath) -> Published:
        if path not in self.datasets:
            raise NotFound(f"{root}/{path} does not exist")
        return self.datasets[path]


async def until(root: SpecialRoot, done: Callable[[], bool]) -> None:
    """Wait until a root has followed what another program did to its directory."""
    scanned = asyncio.Event()
    root.followed.listen(lambda _steps: scanned.set())
    async with asyncio.timeout(10):
        while not done():
            await scanned.wait()
            scanned.clear()


class World:
    """Views of a subscriber with special roots.

    Attributes
    ----------
    subscriber : Subscriber
        Publishes what a test puts into its ``datasets``, in the root ``foo``.
    """

    def __init__(self, special: SpecialRoots, subscriber: Subscriber, views: UserViews) -> None:
        self.special = special
        self.subscriber = subscriber
        self.views = views

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls,
        directory: Path,
        policy: Policy | None = None,
        limits: Limits = DEFAULTS,
        quota: int = 0,
        quotas: tuple[int, int] = (0, 0),
        formats: Callable[[Path], Sequence[Format]] = lambda _: (),
    ) -> AsyncIterator[World]:
        subscriber: Any = Subscriber()
        roots = SpecialRoots(
            directory, quota, subscriber.pool, Listeners(), lambda _: None, limits.special, quotas,
            formats,
        )  # fmt: skip
        try:
            async with roots as special:
                views = UserViews(subscriber, special, policy or Policy(), limits)
                yield cls(special, subscriber, views)
        finally:
            subscriber.pool.stop()

    def view(self, user: User | None) -> UserView:
        return self.views.for_user(user)

    async def upload(self, user: User, path: str, values: Array) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield array_frame(values)

        await self.view(user).upload(Place.parse(path), Upload("x.b2nd", pieces()))

    async def express(self, user: User, path: str, text: str, **operands: str) -> None:
        place = Place.parse(path)
        await self.view(user).lazyexpr(place, Expression(text, operands), compute=False)

    async def open(self, user: User | None, path: str) -> ComputedDataset:
        place = Place.parse(path)
        found = await self.view(user).dataset(place.root, place.path)
        assert isinstance(found, ComputedDataset)
        return found

    async def read(self, user: User | None, path: str) -> list[Any]:
        found = await self.open(user, path)
        values = await found.values(selection.whole(found.info.shape))
        read: list[Any] = values.tolist()
        return read
