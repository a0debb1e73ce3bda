"""Downloads of directories: all files below one, each complete and verified, some at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from typing import Protocol

from caterva2.client.types import Progress, RemotePath
from caterva2.errors import BadName
from caterva2.names import outermost

AT_ONCE = 4
"""Files that are received at a time."""


class Downloading(Protocol):
    """The part of a client that downloads of directories use."""

    def get_list(self, path: RemotePath) -> list[str]: ...
    def download(self, path: RemotePath, localpath: str | Path) -> Path | None: ...


def download(
    client: Downloading, path: str, localpath: str | Path | None, progress: Progress | None
) -> Path:
    """Save all files below a directory; datasets in containers are in these files.

    Parameters
    ----------
    client : Downloading
    path : str
        With the root.
    localpath : path, optional
        The local directory, made if it is not there; ``path`` below the current one by default.
    progress : callable, optional
        Called with the files that are saved and their number, from one thread.

    Returns
    -------
    Path
        The local directory.

    Raises
    ------
    CatervaError
        The first error of a file; files that are complete stay, others are continued next time.
    """
    files = outermost(client.get_list(path))
    for name in (path, *files):
        if ".." in (given := PurePosixPath(name)).parts or given.is_absolute() or "\0" in name:
            raise BadName(f"{name[:80]!r} is not a path below a root")
    target = Path(path) if localpath is None else Path(localpath)
    target.mkdir(parents=True, exist_ok=True)
    done = 0
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="caterva2-download") as pool:
        jobs = [pool.submit(client.download, f"{path}/{name}", target / name) for name in files]
        try:
            for job in as_completed(jobs):
                job.result()
                done += 1
                if progress is not None:
                    progress(done, len(files))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return target
