"""A dataset in a container, by its path in the directory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from caterva2.errors import CatervaError, StaleVersion
from caterva2.frames.raw import Cut, Run
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.sources.base import Datasets


class Inside:
    """Reads one dataset as `Datasets` does; errors name its path in the directory.

    Parameters
    ----------
    datasets : Datasets
        Of the container.
    container : str
        Path of the container; of the directory that it is in if its datasets are named so.
    path : DatasetPath
        Path of the dataset in the directory, below the container's.
    on_version : callable
        Gets the path, and the version that was met where it is not the requested one.
    """

    def __init__(
        self,
        datasets: Datasets,
        container: str,
        path: DatasetPath,
        on_version: Callable[[DatasetPath, str], None],
    ) -> None:
        self._container = container
        self._on_version = on_version
        self._datasets = datasets
        self._path = path
        self._own = DatasetPath(path[len(container) + 1 :] if container else path)

    def info(self, deadline: float) -> DatasetInfo:
        with self._naming():
            found = self._datasets.info(self._own, deadline)
        return found.model_copy(update={"path": self._path})

    def chunks(self, etag: str, ids: Sequence[int], deadline: float) -> Iterator[Run]:
        with self._naming():
            yield from self._datasets.chunks(self._own, etag, ids, deadline)

    def blocks(self, etag: str, n: int, ids: Sequence[int], deadline: float) -> Cut:
        with self._naming():
            return self._datasets.blocks(self._own, etag, n, ids, deadline)

    def read_bytes(self, etag: str, start: int, stop: int, deadline: float) -> Iterator[bytes]:
        with self._naming():
            yield from self._datasets.read_bytes(self._own, etag, start, stop, deadline)

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except CatervaError as error:
            if isinstance(error, StaleVersion):
                self._on_version(self._path, str(error.info.get("etag", "")))
            reason = error.detail
            if reason.startswith(self._own) and self._container:
                reason = f"{self._container}/{reason}"
            raise type(error)(reason, info=error.info, after_ms=error.after_ms).about(
                self._path
            ) from None
