"""``cat2pub``: publish a root."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from caterva2.accounts import readers
from caterva2.accounts.readers import Readers
from caterva2.cli import arguments
from caterva2.cli.parsers import cat2pub as make_parser
from caterva2.cli.reloading import Reload
from caterva2.config import PublisherSettings, load_limits
from caterva2.errors import ConfigError, StartError
from caterva2.hdf5 import superblock
from caterva2.isolation.hdf5 import hdf5_format, isolated_hdf5, missing
from caterva2.isolation.plugged import LEAVES, IsolatedPlugged
from caterva2.limits import DEFAULTS, Limits
from caterva2.names import RootName
from caterva2.publisher.readers import RootReaders
from caterva2.publisher.service import Publisher, PublisherOptions
from caterva2.runtime import service
from caterva2.runtime.logs.log import start_log
from caterva2.runtime.monitoring.watched import watched
from caterva2.sources.base import Source
from caterva2.sources.directory.seen import Seen
from caterva2.sources.directory.source import DirectorySource
from caterva2.stores.containers import store_at, store_formats
from caterva2.stores.nested import NestedStores
from caterva2.stores.recognition import is_zarr
from caterva2.stores.root import StoreRoot
from caterva2.wire.auth.service_keys import KeyOptions
from caterva2.wire.sockets import Address

LISTING_FILE = "listing"
REMOTE = ("s3", "gs", "az", "abfs", "abfss", "http", "https")
"""Schemes of buckets and web servers."""
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")


def open_source(
    where: str | Path,
    statedir: Path,
    limits: Limits = DEFAULTS,
    *,
    watch: bool = True,
    hdf5: Literal["groups", "files"] = "groups",
    zarr: Literal["groups", "files"] = "groups",
    given: Mapping[str, str] | None = None,
) -> Source:
    """Open what can be published, with what an earlier run saved about it.

    Parameters
    ----------
    where : str or Path
        A directory, an HDF5 file, a Zarr store, a tree or sparse frame of Blosc2, ``SCHEME:PATH``,
        a URL, or a path with the suffix of another package's source.
    statedir : Path
    limits : Limits, optional
    watch : bool
        Whether the system is asked to report changes of a directory.
    hdf5 : str
        Whether the datasets in HDF5 files of a directory are served, too, or these files only.
    zarr : str
        Whether the arrays of Zarr stores in a directory are served, or the files of the stores.
    given : mapping, optional
        Options of another package's source.

    Raises
    ------
    ConfigError
        If there is nothing that can be published.
    StartError
        If it can't be opened.
    """
    text, path = str(where), Path(where)
    if text.partition("://")[0] in REMOTE and "://" in text:
        from caterva2.stores.opening import open_remote

        return open_remote(text, limits.publisher, given or {})
    made = _plugin_source(text, path, statedir, limits, watch, given or {})
    if made is not None:
        return made
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    leaves = IsolatedPlugged(path.resolve().parent, limits, LEAVES)
    found = store_at(path, limits.publisher, leaves)
    if found is not None:
        return StoreRoot(
            path.resolve(), found, watch=watch, plugged=leaves, limits=limits.publisher
        )
    if is_zarr(path) or path.suffix.lower() == ".zip":
        from caterva2.stores.opening import open_zarr

        return open_zarr(path, limits.publisher)
    if path.is_dir():
        formats = [hdf5_format(path, limits)] if hdf5 == "groups" else []
        leaves = IsolatedPlugged(path, limits, LEAVES)
        formats += store_formats(path, limits.publisher, zarr=zarr == "groups", plugged=leaves)
        identities = [f"{each.name}: {each.identity}" for each in formats]
        kept = limits.publisher.kept_frames
        seen = Seen(path, statedir / LISTING_FILE, formats=identities, frame_bytes=kept)

        def directory(enters: Callable[[str], bool]) -> Source:
            return DirectorySource(
                path, watch=watch, seen=seen, formats=formats, enters=enters,
                plugged=IsolatedPlugged(path, limits), limits=limits.publisher,
            )  # fmt: skip

        return NestedStores(
            path, directory, limits.publisher, zarr=zarr == "groups", plugged=leaves
        )
    return _hdf5_source(path, statedir, limits)


def _plugin_source(
    text: str, path: Path, statedir: Path, limits: Limits, watch: bool, given: Mapping[str, str]
) -> Source | None:
    """Open what another package serves; None if no scheme and no suffix names one."""
    scheme = SCHEME.match(text) if not path.exists() else None
    name = scheme[1] if scheme else path.suffix.lower()
    if not name:
        return None
    from caterva2.sources import plugins  # looking for packages takes some milliseconds

    make = plugins.named(name)
    if make is not None:
        rest = text if not scheme or "://" in text else text.removeprefix(scheme[0])
        return make(rest, plugins.SourceOptions(statedir, limits.publisher, watch, given))
    if scheme:
        raise ConfigError(f"{text} does not exist, and no installed package serves {name}:")
    return None


def _hdf5_source(path: Path, statedir: Path, limits: Limits) -> Source:
    try:
        with path.open("rb") as file:
            block = superblock.read(file.fileno())
    except OSError as error:
        raise StartError(f"{path} can't be read: {error.strerror}") from None
    if block is None:
        raise ConfigError(
            f"{path} is neither a directory nor an HDF5 file, Zarr store or tree of Blosc2"
        )
    if hint := missing():
        raise StartError(f"{path} is not a directory; {hint}")
    return isolated_hdf5(path, limits, statedir / LISTING_FILE)


def options_of(settings: PublisherSettings) -> PublisherOptions:
    """Return the options of some settings.

    Raises
    ------
    ConfigError
        If they make no sense.
    """
    if not settings.name or not settings.root:
        raise ConfigError("name a root and its source: cat2pub NAME SOURCE")
    name = RootName(settings.name)
    if name.is_special:
        raise ConfigError(f"{name}: names with @ are for roots of a subscriber")
    endpoint = Address.parse(settings.endpoint)
    advertise = None
    if settings.advertise:
        text = settings.advertise
        advertise = Address.parse(text if ":" in text else f"{text}:0")
    return PublisherOptions(
        root=name, broker=Address.parse(settings.broker), endpoint=endpoint,
        advertise=advertise, statedir=Path(settings.statedir or f"_caterva2/pub.{name}"),
        keys=KeyOptions.of(settings), readers=RootReaders(_readers(settings)),
        sign=settings.sign,
    )  # fmt: skip


def _readers(settings: PublisherSettings) -> Readers:
    return readers.parse(settings.read, "[publisher] read")


def run(argv: list[str] | None) -> int:
    """Run the command and return its exit code."""
    options = make_parser().parse_args(argv)
    names = (
        "broker", "endpoint", "advertise", "watch", "hdf5", "zarr", "options", "name", "root",
        "sign", "statedir", "loglevel", "log_format", "metrics", "broker_key", *arguments.KEYS,
    )  # fmt: skip
    settings = arguments.settings(PublisherSettings, options, *names)
    start_log(settings.loglevel, settings.log_format)
    publisher, limits = options_of(settings), load_limits(options.conf)

    if arguments.is_upkeep(options):
        from caterva2.cli.commands import upkeep  # a start needs none of it

        return upkeep.publisher(options, publisher.statedir, publisher.root)

    def opened() -> Source:
        return open_source(
            settings.root, publisher.statedir, limits, watch=settings.watch == "auto",
            hdf5=settings.hdf5, zarr=settings.zarr, given=settings.options,
        )  # fmt: skip

    def set_readers(changed: PublisherSettings) -> None:
        publisher.readers.replace(_readers(changed))

    reload = Reload(settings, options, names, set_readers, ("read",))

    def make() -> service.Service:
        return watched(Publisher.serving(publisher, opened, limits), settings.metrics)

    return service.run("cat2pub", make, reload=reload)


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("cat2pub", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
