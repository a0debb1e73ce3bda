"""``caterva2 open``: the pages of a subscriber, in a browser."""

from __future__ import annotations

import argparse
import http.client
import os
import urllib.parse
import urllib.request
import webbrowser

from caterva2 import config
from caterva2.cli.arguments import complain
from caterva2.cli.site import place
from caterva2.config import ClientSettings
from caterva2.errors import ConfigError, StartError
from caterva2.names import RootName

PATIENCE_S = 3.0


def run(options: argparse.Namespace) -> int:
    """Open a page, and return the exit code."""
    url = _page(options)
    print(url, flush=True)
    if options.print or webbrowser.open(url):
        return 0
    complain("caterva2 open", "there is no browser here: open this address in one")
    return 1


def _page(options: argparse.Namespace) -> str:
    """Return the URL of the page that is asked for."""
    what: str = options.what
    if what.startswith(("http://", "https://")):
        return what
    if "://" in what:
        raise ConfigError(f"{what} is not http:// or https://, and no dataset")
    root, _, path = what.partition("/")
    base = _subscriber(options, RootName(root) if root else "")
    if not what:
        return f"{base}/"
    return f"{base}/roots/{urllib.parse.quote(f'{root}/{path}'.rstrip('/'))}"


def _subscriber(options: argparse.Namespace, root: str) -> str:
    """Return the URL of a subscriber: that of a site with this root, or the one of the settings."""
    given: str = options.url or os.environ.get("CATERVA2_URL", "")
    if given:
        return given.rstrip("/")
    running = [site for site in place.found(options.state) if _answers(site.url)]
    for site in (*(site for site in running if not root or root in site.roots), *running):
        return place.reachable(site.url)
    default = config.load(ClientSettings, options.conf).subscriber.rstrip("/")
    if options.state or not _answers(default):
        raise StartError(f"no site runs here, nor a subscriber at {default}: start caterva2 serve")
    return default


def _answers(url: str) -> bool:
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(f"{place.reachable(url)}/healthz", timeout=PATIENCE_S):  # noqa: S310
            return True
    except (OSError, ValueError, http.client.HTTPException):  # of what has its port now, perhaps
        return False
