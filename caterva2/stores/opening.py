"""Sources over stores, by a path or a URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from caterva2.errors import CatervaError, StartError
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.sources.base import Source
from caterva2.sources.versions import FilePlace
from caterva2.stores.objects import ObjectSource
from caterva2.stores.recognition import METADATA
from caterva2.stores.remote import WEB, RemoteStore
from caterva2.stores.store import DirectoryStore
from caterva2.stores.zarr.source import ZarrSource
from caterva2.stores.zipped import ZipStore

INDEX = "index"


def open_zarr(path: Path, limits: PublisherLimits = DEFAULTS.publisher) -> ZarrSource:
    """Open a store in a directory or a zip file.

    Raises
    ------
    StartError
        If the zip file holds no Zarr store.
    """
    if path.is_dir():
        return ZarrSource(DirectoryStore(path), path.stem, limits)
    store = ZipStore(FilePlace(path))
    try:
        is_zarr = store.is_zarr
    except CatervaError as error:
        raise StartError(error.detail) from None
    if not is_zarr:
        store.close()
        raise StartError(f"{path} is a zip file without a Zarr store")
    return ZarrSource(store, path.stem, limits)


def open_remote(
    url: str,
    limits: PublisherLimits = DEFAULTS.publisher,
    given: Mapping[str, str] | None = None,
) -> Source:
    """Open a bucket, a directory of a web server, or a Zarr store in one of them.

    Parameters
    ----------
    url : str
    limits : PublisherLimits, optional
    given : mapping, optional
        ``index`` names the list of a web server's objects.

    Raises
    ------
    StartError
        If it can't be reached, or an option is not known.
    """
    options = dict(given or {})
    index = options.pop(INDEX, "")
    web = url.partition(":")[0] in WEB
    if options or (index and not web):
        named = ", ".join(options or [INDEX])
        raise StartError(f"{url}: the option {named} is not known; web servers have {INDEX}=KEY")
    store = RemoteStore(url, limits, index)
    try:
        is_zarr = not store.children("")[0].keys().isdisjoint(METADATA)
    except CatervaError as error:
        store.close()
        hint = "; a server without lists needs --option index=KEY" if web and not index else ""
        raise StartError(error.detail + hint) from None
    if is_zarr:
        return ZarrSource(store, url.rstrip("/").rpartition("/")[2].partition(".")[0], limits)
    return ObjectSource(store, limits)
