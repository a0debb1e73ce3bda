"""Kept: what a client has on this machine, as its reads see it; nothing unless a cache is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from caterva2.model import DatasetInfo


class Whole(Protocol):
    """All bytes of a version, as a download has them.

    Attributes
    ----------
    size : int
    tag : str
        The entity tag of these very bytes.
    """

    @property
    def size(self) -> int: ...
    @property
    def tag(self) -> str: ...

    def read(self, start: int, stop: int) -> bytes:
        """Read some bytes; what lies behind the end is left out."""
        ...


class Kept(Protocol):
    """Local copies of versions of datasets. All methods may be called from any thread.

    Attributes
    ----------
    active : bool
        Whether there may be any.
    """

    active: bool

    def values(self, source: Any, region: Any, field: str) -> Any:
        """Return the values of a region of a version, of which what is missing is fetched.

        Parameters
        ----------
        source : Source
        region : Region
        field : str
            One field of a structured dtype; all if empty.

        Returns
        -------
        ndarray or None
            None if the subscriber is to be asked for them.
        """
        ...

    def chunk(self, source: Any, nchunk: int) -> bytes | None:
        """Return a chunk of a version, fetched if it is missing; None as of `values`."""
        ...

    def whole(
        self, source: Any, size: int | None = None, progress: Callable[[int], None] | None = None
    ) -> Whole | None:
        """Return all bytes of a version, of which what is missing is fetched unless it is much.

        Parameters
        ----------
        source : Source
        size : int, optional
            About the bytes of all its chunks; without it nothing is fetched.
        progress : callable, optional
            Called with the bytes of each part that arrived.

        Returns
        -------
        Whole or None
            None if the subscriber is to be asked for them.
        """
        ...

    def info(self, source: Any) -> DatasetInfo | None:
        """Return the description of a version of which there are chunks; None if there are none."""
        ...

    def is_outdated(self, path: str, version: str) -> bool:
        """Return whether an event said that there may be another version."""
        ...

    def as_of(self, path: str, version: str) -> float | None:
        """Return when the subscriber last confirmed the description of a version, since 1970."""
        ...


class NothingKept:
    """No local copies."""

    active = False

    def values(self, source: Any, region: Any, field: str) -> Any:
        return None

    def chunk(self, source: Any, nchunk: int) -> bytes | None:
        return None

    def whole(
        self, source: Any, size: int | None = None, progress: Callable[[int], None] | None = None
    ) -> Whole | None:
        return None

    def info(self, source: Any) -> DatasetInfo | None:
        return None

    def is_outdated(self, path: str, version: str) -> bool:
        return False

    def as_of(self, path: str, version: str) -> float | None:
        return None


NOTHING: Kept = NothingKept()


def whole(
    found: Any, *, fill: bool = True, progress: Callable[[int], None] | None = None
) -> Whole | None:
    """Return all bytes of a handle's version, as `Kept.whole`; what is missing only with ``fill``.

    Chunks come without what describes a dataset, so a frame with attributes, names of dimensions or
    metalayers is not made of them: the subscriber is to be asked for it.
    """
    kept = found._client.transport.kept
    if not kept.active or (found.kind != "file" and _is_described(found.meta)):
        return None
    made: Whole | None = kept.whole(found._source, found.cbytes if fill else None, progress)
    return made


def _is_described(meta: dict[str, Any]) -> bool:
    """Return whether a frame has more than values; also if an older subscriber does not say."""
    plain = meta.get("attrs", True), meta.get("metalayers", True), meta.get("dims")
    return any(map(bool, plain)) or bool(meta.get("schunk", meta).get("vlmeta", True))
