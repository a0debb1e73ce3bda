"""Where a site keeps its state, and how ``caterva2 open`` finds the sites that run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from caterva2.cli.site.served import Served
from caterva2.errors import ConfigError

RUNNING = "running.json"
"""Says at which URL a site serves, while it does."""
_NAMES = 40
"""Characters of the names of roots in the name of a directory."""


def home() -> Path:
    """Return the directory below which each site has one of its own.

    Raises
    ------
    ConfigError
        If the user has no home directory.
    """
    given = os.environ.get("XDG_STATE_HOME", "")
    if given.startswith("/"):
        return Path(given) / "caterva2"
    try:
        return Path.home() / ".local/state" / "caterva2"
    except RuntimeError:  # such as in a container, as a user without a name
        raise ConfigError("this user has no home: set XDG_STATE_HOME, or give --state") from None


def reachable(url: str) -> str:
    """Return where a server that listens at all addresses is reached on this machine."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def default(roots: Iterable[Served], upstream: str = "") -> Path:
    """Return the directory of a site of some roots: another one for other sources."""
    known = sorted((str(root.name), root.source) for root in roots)
    if upstream:
        known.append(("upstream", upstream))
    names = "+".join(name for name, _ in known) or "example"
    digest = hashlib.sha256(json.dumps(known).encode(errors="surrogateescape")).hexdigest()
    return home() / f"{names[:_NAMES]}-{digest[:8]}"


@dataclass(frozen=True, slots=True)
class Running:
    """A site that ran when its file was written."""

    url: str
    roots: dict[str, str]


def write(state: Path, running: Running) -> None:
    """Say where a site serves."""
    from caterva2.runtime import durable  # with locks, which not every system has

    content = {"url": running.url, "roots": running.roots}
    durable.write(state / RUNNING, json.dumps(content).encode())


def forget(state: Path) -> None:
    """Say that a site does not serve any more."""
    with contextlib.suppress(OSError):
        (state / RUNNING).unlink()


def found(state: Path | None = None) -> Iterator[Running]:
    """Yield what sites have said, the latest first; one that was killed may be among them.

    Parameters
    ----------
    state : Path, optional
        Of one site; all below `home` by default.
    """
    paths = [state / RUNNING] if state else list(home().glob(f"*/{RUNNING}"))
    dated = []
    for path in paths:
        with contextlib.suppress(OSError):
            dated.append((path.stat().st_mtime, path))
    for _, path in sorted(dated, reverse=True):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            content = json.loads(path.read_bytes())
            yield Running(str(content["url"]), dict(content["roots"]))
