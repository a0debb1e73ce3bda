"""The parts of a client that its objects use."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from caterva2.client.transport import Transport
from caterva2.client.types import Local, Progress, RemotePath


class FileClient(Protocol):
    """The part of a client that files and datasets use."""

    @property
    def transport(self) -> Transport: ...
    @property
    def urlbase(self) -> str: ...
    def get_info(self, path: RemotePath) -> dict[str, Any]: ...
    def get(self, path: RemotePath) -> Any: ...
    def get_download_url(self, path: RemotePath) -> str: ...
    def download(
        self, path: RemotePath, localpath: str | Path | BinaryIO | None,
        progress: Progress | None = None, *, key: Any = None,
    ) -> Path | None: ...  # fmt: skip
    def prefetch(self, path: RemotePath, key: Any = None) -> dict[str, Any]: ...
    def take(
        self, path: RemotePath, key: Any = None, *, to: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Any: ...  # fmt: skip
    def stats(
        self, path: RemotePath, key: Any = None, *, field: str = "", part: str = "",
        exact: bool | None = None,
    ) -> dict[str, Any]: ...  # fmt: skip
    def overview(
        self, path: RemotePath, key: Any = None, *, size: int | None = None, reduce: str = "",
        field: str = "", part: str = "", exact: bool | None = None,
    ) -> Any: ...  # fmt: skip
    def move(self, src: RemotePath, dst: RemotePath) -> PurePosixPath: ...
    def copy(self, src: RemotePath, dst: RemotePath) -> PurePosixPath: ...
    def remove(self, path: RemotePath) -> PurePosixPath: ...
    def append(self, path: RemotePath, data: Any) -> tuple[int, ...]: ...


class GroupClient(FileClient, Protocol):
    """The part of a client that directories use."""

    def get_roots(self) -> dict[str, dict[str, Any]]: ...
    def get_list(self, path: RemotePath) -> list[str]: ...


class RootClient(GroupClient, Protocol):
    """The part of a client that roots use."""

    def subscribe(self, root: str) -> str: ...
    def get_members(self, path: RemotePath) -> dict[str, dict[str, Any]]: ...
    def upload(
        self, localpath: Local, path: RemotePath, progress: Progress | None = None
    ) -> PurePosixPath: ...
