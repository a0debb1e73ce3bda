"""Demonstration, ``bin/demo``: a broker, publishers and a subscriber on this machine."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
import urllib.parse
from pathlib import Path

from caterva2.cli import arguments
from caterva2.cli.children import Child
from caterva2.client import Client, Dataset, HttpError
from caterva2.errors import ConfigError, StartError
from caterva2.names import RootName

EXAMPLE = "dir2/ds-4d.b2nd"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    made = argparse.ArgumentParser(
        prog="bin/demo",
        description="Start a broker, a publisher for each root and a subscriber; Ctrl+C ends them.",
    )
    made.add_argument(
        "roots",
        nargs="*",
        metavar="NAME=SOURCE",
        help="roots to publish (default: foo=root-example)",
    )
    made.add_argument(
        "--port", type=int, default=8000, metavar="N", help="first of five ports (default: 8000)"
    )
    return made


def parse_root(text: str) -> tuple[RootName, str]:
    """Split ``NAME=SOURCE``."""
    name, equals, source = text.partition("=")
    if not equals or not source:
        raise ConfigError(f"{text!r} is not NAME=SOURCE")
    return RootName(name), source


class Demo:
    """The services of a demonstration, in their order of start."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._children: list[Child] = []
        self.ending = threading.Event()
        self.url = f"http://127.0.0.1:{port + 2}"
        self.state = Path(f"_caterva2/demo-{port}")
        self.state.mkdir(parents=True, exist_ok=True)

    def start(self, roots: list[tuple[RootName, str]]) -> None:
        broker = f"127.0.0.1:{self._port}"
        self._run("cat2bro", "bro", ["--endpoint", broker])
        for n, (name, source) in enumerate(roots):
            endpoint = f"127.0.0.1:{self._port + 1 if n == 0 else 0}"
            self._run(
                "cat2pub", f"pub.{name}",
                ["--broker", broker, "--endpoint", endpoint, name, source],
            )  # fmt: skip
        http = self.url.removeprefix("http://")
        self._run("cat2sub", "sub", ["--broker", broker, "--http", http])

    def _run(self, command: str, state: str, given: list[str]) -> None:
        if self.ending.is_set():
            raise KeyboardInterrupt
        log = self.state / f"{state}.log"
        child = Child(command, ["--statedir", str(self.state / state), *given], log)
        self._children.append(child)
        print(child.ready(), flush=True)

    def check(self) -> None:
        """Raise if one of the services has ended."""
        for child in self._children:
            if child.process.poll() is not None:
                raise StartError(f"{child.command} ended: {child.last_words()}")

    def stop(self) -> bool:
        """End all, the last one first; return whether all exited with 0."""
        codes = [child.stop() for child in reversed(self._children)]
        return not any(codes)


def wait_for_root(client: Client, name: str, timeout: float = 15.0) -> None:
    """Subscribe to a root as soon as the announcement of it has arrived."""
    until = time.monotonic() + timeout
    while True:
        try:
            client.subscribe(name)
        except HttpError as error:
            if error.status_code not in (404, 503) or time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def show(client: Client, name: str) -> None:
    """Print the files of a root, and a slice of one of its arrays."""
    files = client.get_list(name)
    print(f"\n$ export CATERVA2_URL={client.urlbase}")
    print(f"$ cat2cli list {name}")
    print("\n".join(f"{name}/{path}" for path in files[:15]) + ("\n..." if files[15:] else ""))
    arrays = [path for path in files if path.lower().endswith(".b2nd")]
    if not arrays:
        return
    path = f"{name}/{EXAMPLE if EXAMPLE in arrays else arrays[0]}"
    dataset = client.get(path)
    assert isinstance(dataset, Dataset)
    key = tuple(min(n + 1, size - 1) for n, size in enumerate(dataset.shape[:-1]))
    text = ", ".join(map(str, (*key, ":5"))) if dataset.ndim else ""
    print(f"\n$ cat2cli show '{path}[{text}]'")
    print(dataset[(*key, slice(5))] if dataset.ndim else dataset[()])
    if dataset.ndim:
        print(f"\nA plot of it: {client.urlbase}/roots/{urllib.parse.quote(path)}?tab=plot")


def run(argv: list[str] | None) -> int:
    """Run the demonstration until it is interrupted, and return its exit code."""
    options = make_parser().parse_args(argv)
    if not 1024 <= options.port <= 65531:
        raise ConfigError("--port takes a number from 1024 to 65531")
    roots = [parse_root(text) for text in options.roots or ["foo=root-example"]]
    if len({name for name, _ in roots}) < len(roots):
        raise ConfigError("two roots have the same name")
    demo = Demo(options.port)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: demo.ending.set())
    try:
        demo.start(roots)
        client = Client(demo.url)
        for name, _ in roots:
            wait_for_root(client, name)
            show(client, name)
        print(
            f"\nOpen {demo.url}/ in a browser, or {demo.url}/api/roots - Ctrl+C ends all.",
            flush=True,
        )
        while not demo.ending.wait(0.5):
            demo.check()
    except StartError as error:
        raise StartError(f"{error} (logs are in {demo.state})") from None
    finally:
        ended_well = demo.stop()
    print("ended" if ended_well else "ended, but not all of them cleanly")
    return 0 if ended_well else 1


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("bin/demo", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
