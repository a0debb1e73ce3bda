"""``caterva2 serve``: everything that serves some data, on this machine."""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from caterva2.cli.arguments import complain
from caterva2.cli.site import place, served
from caterva2.cli.site.processes import FREE, Site
from caterva2.cli.site.served import EXAMPLE, Served
from caterva2.client.client import Client
from caterva2.client.errors import HttpError
from caterva2.errors import CatervaError, ConfigError, StartError
from caterva2.runtime.printable import printable
from caterva2.runtime.statedir import StateDir
from caterva2.wire.sockets import Address

HTTP = "127.0.0.1:8002"
"""Where clients look for a subscriber without being given its address."""
LOOPBACK = ("127.", "localhost:", "[::1]:")
WATCH_S = 0.5
KNOWN_S = 15.0
"""Seconds until the subscriber has heard of all roots."""
NOT_ALLOWED = (401, 403)
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes, and return the exit code."""
    if options.conf and not options.conf.is_file():
        raise ConfigError(f"{options.conf} does not exist")
    if options.http and "/" not in options.http:
        Address.parse(options.http)
    asked = served.parse(options.sources)
    upstream = options.upstream or ""
    metrics = _metrics(options.metrics, 2 + (len(asked) or (0 if upstream else 1)))
    state = (options.state or place.default(asked, upstream)).absolute()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_held(state))
        roots = asked or ([] if upstream else [_example(state)])
        given = options.http or _free_http(), options.quota, options.conf, metrics
        site = stack.enter_context(Site(state, *given, _upstream(options)))
        stack.callback(place.forget, state)
        with _interrupted_by_signals():
            try:
                _serve(site, roots, state)
            except StartError as error:
                raise StartError(f"{error} (logs: {state}/*.log)") from None
            except KeyboardInterrupt:
                _ignore_signals()
        print("\nending ...", flush=True)
        if not site.stop():
            complain("caterva2 serve", f"not all services ended well: see {state}/*.log")
            return 1
    return 0


def _upstream(options: argparse.Namespace) -> list[str]:
    """Return the options of the subscriber about an upstream; it runs in another directory."""
    given = ["--upstream", options.upstream] if options.upstream else []
    for name in ("upstream_token_file", "upstream_ca_file"):
        if file := getattr(options, name):
            given += [f"--{name.replace('_', '-')}", str(Path(file).absolute())]
    return given


def _serve(site: Site, roots: list[Served], state: Path) -> None:
    names = ", ".join(root.name for root in roots) or "nothing"
    print(f"starting a broker, publishers of {names} and a subscriber ...", flush=True)
    lines = site.start(roots)
    _wait_for_roots(site.url, roots)
    place.write(state, place.Running(site.url, {root.name: root.source for root in roots}))
    for root, line in zip(roots, lines, strict=True):
        size = line.partition(" with ")[2].partition(" ready ")[0]
        print(printable(f"{root.name:12} {root.source}{f' ({size})' if size else ''}"))
    print(f"state and logs: {state}")
    if site.metrics:
        print("metrics:", ", ".join(f"{where} ({title})" for title, where in site.metrics.items()))
    if "://" in site.url:
        here = place.reachable(site.url)
        print(f"\nOpen {here}/ in a browser (caterva2 open does), or in another terminal:")
        option = "" if here == f"http://{HTTP}" else f" --url {here}"
        print(f"  cat2cli{option} {f'tree {roots[0].name}' if roots else 'roots'}")
        if not site.url.partition("://")[2].startswith(LOOPBACK):
            print("Other machines can reach it: without accounts everybody there reads all of it.")
    print("Ctrl+C ends all.", flush=True)
    while True:
        time.sleep(WATCH_S)
        for text in site.check():
            complain("caterva2 serve", text)


@contextlib.contextmanager
def _held(state: Path) -> Iterator[None]:
    """Have a directory for this site alone."""
    try:
        held = StateDir(state)
    except StartError as error:
        running = next(place.found(state), None)
        if running is None:
            raise
        raise StartError(f"{error}: it is served at {running.url}") from None
    with held:
        yield


def _example(state: Path) -> Served:
    """Return the bundled example, which is made when it is first served."""
    directory = state / "example"
    if not directory.exists():
        from caterva2.examples import exampleroot

        made = state / "example.new"
        exampleroot.make(made)
        made.rename(directory)
    return Served(EXAMPLE, str(directory))


def _metrics(given: str | None, count: int) -> Address | None:
    """Return the first of the addresses of metrics."""
    if given is None:
        return None
    first = Address.parse(given)
    if not first.port or first.port + count > 65536:
        raise ConfigError(f"--metrics {given}: name a port with {count - 1} ports after it")
    return first


def _free_http() -> str:
    """Return the usual address, or any port where another program has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host, _, port = HTTP.partition(":")
        try:
            probe.bind((host, int(port)))
        except OSError:
            return FREE
    return HTTP


def _wait_for_roots(url: str, roots: Iterable[Served]) -> None:
    """Subscribe to all roots as soon as they are known, if that needs no login."""
    if not url.startswith("http://"):
        return  # a certificate may be of another name than this machine's
    client = Client(place.reachable(url))
    until = time.monotonic() + KNOWN_S
    for root in roots:
        while True:
            try:
                client.subscribe(root.name)
            except HttpError as error:
                if error.status_code in NOT_ALLOWED:
                    return
                if time.monotonic() > until:
                    raise StartError(f"the root {root.name} does not appear: {error}") from None
                time.sleep(0.1)
            except CatervaError as error:
                raise StartError(f"the subscriber does not answer: {error}") from None
            else:
                break


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Have the signals that end a command do what Ctrl+C does; nohup leaves one ignored."""
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT:
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        _ignore_signals()


def _ignore_signals() -> None:
    """Let nothing disturb an end that is under way; it takes some seconds at most."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
