"""The subscriber that is tested: of a site that the tests start, or one that runs."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caterva2.accounts import hashing
from caterva2.accounts.identity import Email
from caterva2.accounts.store import FILE, AccountStore
from caterva2.cli.site.processes import FREE, Site
from caterva2.cli.site.served import EXAMPLE, Served
from caterva2.client import Client, HttpError
from caterva2.config import SECRET, ClientSettings, load

EXTERNAL = "CATERVA2_USE_EXTERNAL"
ROOT = "CATERVA2_TEST_ROOT"
"""Names the root that has the datasets of the example."""
KNOWN = "dir2/ds-4d.b2nd"
USER = "tester@example.com"


class NoExample(Exception):
    """The subscriber has no root of the example's datasets."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A subscriber, and how its tests log in.

    Parameters
    ----------
    url : str
    who : dict
        ``auth`` or ``token``, as `Client` takes them.
    root : str
        Has the datasets of the example.
    source : Path or None
        The root's directory, if it may be changed.
    """

    url: str
    who: dict[str, Any] = field(repr=False)
    root: str
    source: Path | None = None

    def client(self) -> Client:
        """Make a client that logs in."""
        return Client(self.url, **self.who)


def is_external() -> bool:
    """Return whether services that run are to be tested."""
    return os.environ.get(EXTERNAL, "") not in ("", "0")


def external() -> Reached:
    """Return the subscriber of the environment or the settings.

    Raises
    ------
    NoExample
        If none of its roots has the example's datasets.
    """
    settings = load(ClientSettings)
    url = os.environ.get("CATERVA2_URL") or settings.subscriber
    name = os.environ.get("CATERVA2_USERNAME") or settings.username
    password = os.environ.get("CATERVA2_PASSWORD") or settings.password
    token = os.environ.get("CATERVA2_TOKEN") or settings.token
    who: dict[str, Any] = {"auth": (name, password)} if name else {}
    if token and not name:
        who = {"token": token}
    with Client(url, **who) as client:
        return Reached(url, who, _example_at(client))


def _example_at(client: Client) -> str:
    """Return the root that has the example's datasets."""
    given = os.environ.get(ROOT)
    roots = [given] if given else sorted(client.get_roots(), key=lambda name: name != EXAMPLE)
    for name in roots:
        with contextlib.suppress(HttpError):
            if not name.startswith("@"):
                client.subscribe(name)
            if KNOWN in client.get_list(name):
                return name
    raise NoExample(
        f"{client.urlbase} has no root with the example's datasets (of {', '.join(roots)}): "
        f"publish the directory that `python -m caterva2.examples.exampleroot DIR` makes, "
        f"or name one by {ROOT}"
    )


@contextlib.contextmanager
def own(top: Path, source: Path) -> Iterator[Reached]:
    """Run a site of the example root with one account, a superuser, below a directory."""
    password = secrets.token_hex(8)
    (top / "subscriber").mkdir(parents=True)
    with contextlib.closing(AccountStore(top / "subscriber" / FILE)) as store:
        store.add(Email(USER), hashing.hash_password(password.encode()), True, 1)
    before = os.environ.get(SECRET)
    os.environ[SECRET] = secrets.token_hex(32)
    try:
        with Site(top, FREE, "", None) as site:
            site.start([Served(EXAMPLE, str(source))])
            yield Reached(site.url, {"auth": (USER, password)}, EXAMPLE, source)
    finally:
        os.environ.pop(SECRET)
        if before is not None:
            os.environ[SECRET] = before
