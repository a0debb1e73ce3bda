"""The processes of a site: started in order, watched, started again, ended together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Self

from caterva2.cli.children import Child
from caterva2.cli.site.served import Served
from caterva2.errors import StartError
from caterva2.wire.sockets import Address

FREE = "127.0.0.1:0"
READY_S = 600.0
"""Seconds for a start, as a publisher looks through its whole directory first."""
STARTS, STARTS_S = 3, 60.0
"""How often services that end are started again, within how many seconds."""
_READY = re.compile(r"ready at (\S+?),? ")
_BROKER = re.compile(r"ready at (\S+) \(xsub (\S+), xpub (\S+)\)")


class Tie:
    """A pipe by which processes notice the end of this one, however it ends."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def spawn(
        self,
        command: str,
        arguments: list[str],
        errors: IO[bytes],
        cwd: Path | None,
        env: dict[str, str] | None,
    ) -> subprocess.Popen[bytes]:
        """Start a command that ends when this process does."""
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "caterva2.cli.launch", "--tied", command, *arguments],
            stdin=self._read,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd=cwd,
            env=env,
        )

    def close(self) -> None:
        """Let go of all processes; those that still run end."""
        os.close(self._write)
        os.close(self._read)


class Part:
    """A service of a site, which may have several processes one after the other."""

    def __init__(self, title: str, command: str, given: list[str], log: Path, tie: Tie) -> None:
        self.title = title
        self.log = log
        self.given = given
        self._command = command
        self._tie = tie
        self._child: Child | None = None

    def spawn(self) -> None:
        """Start it without waiting for it."""
        self._child = Child(
            self._command, self.given, self.log, cwd=self.log.parent, spawn=self._tie.spawn
        )

    def ready(self) -> str:
        """Wait until it is ready, and return the line that says so."""
        assert self._child
        return self._child.ready(READY_S)

    def start(self) -> str:
        """Start it, and wait until it is ready."""
        self.spawn()
        return self.ready()

    @property
    def ended(self) -> str:
        """Why its process has ended; empty while it runs."""
        if self._child is None or self._child.process.poll() is None:
            return ""
        return self._child.last_words()

    def terminate(self) -> None:
        """Ask its process to end."""
        if self._child is not None:
            self._child.process.terminate()

    def wait(self) -> bool:
        """Wait for the end of its process, and return whether it ended well."""
        return self._child is None or self._child.wait() in (0, -signal.SIGTERM)  # not yet ready


class Site:
    """A broker, a publisher for each root and a subscriber.

    Parameters
    ----------
    state : Path
        Directory of their state and logs.
    http : str
        Where the subscriber listens.
    quota : str
        Of its cache.
    conf : Path or None
        Settings of all of them, besides addresses and directories.
    metrics : Address, optional
        Where the broker shows its metrics; the others do at the ports that follow.
    upstream : sequence of str, optional
        Options of the subscriber about another one whose roots it takes.
    """

    def __init__(
        self,
        state: Path,
        http: str,
        quota: str,
        conf: Path | None,
        metrics: Address | None = None,
        upstream: Sequence[str] = (),
    ) -> None:
        self._upstream = upstream
        self.url = ""
        self.metrics: dict[str, str] = {}
        """Addresses of metrics, by what shows them."""
        self._metrics = metrics
        self._state = state
        self._http = http
        self._quota = ["--quota", quota] if quota else []
        # Each runs in the directory of its state, where it finds no other settings.
        self._common = ["--conf", str(conf.absolute())] if conf else []
        self._tie = Tie()
        self._parts: list[Part] = []
        self._restarts: deque[float] = deque(maxlen=STARTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._tie.close()

    def start(self, roots: Iterable[Served]) -> list[str]:
        """Start all services, and return the ready lines of the publishers.

        Raises
        ------
        StartError
            If one of them can't be started; those that were are ended by the context then.
        """
        free = ["--endpoint", FREE]
        broker = self._part("broker", "cat2bro", [*free, "--xsub", FREE, "--xpub", FREE])
        found = _BROKER.search(broker.start())
        assert found
        control = found[1]
        broker.given += ["--endpoint", control, "--xsub", found[2], "--xpub", found[3]]
        where = ["--broker", control, "--http", self._http, *self._quota, *self._upstream]
        subscriber = self._part("subscriber", "cat2sub", where)
        publishers = [
            self._part(
                f"publisher of {root.name}", "cat2pub", [*free, "--broker", control],
                f"publisher-{root.name}", [root.name, root.source],
            )
            for root in roots
        ]  # fmt: skip
        for part in (*publishers, subscriber):
            part.spawn()
        lines = [part.ready() for part in publishers]
        ready = _READY.search(subscriber.ready())
        assert ready
        self.url = ready[1]
        if "://" in self.url and "/" not in self._http:
            subscriber.given += ["--http", self.url.partition("://")[2]]
        return lines

    def _part(
        self,
        title: str,
        command: str,
        given: list[str],
        name: str = "",
        last: list[str] | None = None,
    ) -> Part:
        name = name or title
        given = [*given, *self._shown(title)]
        log = self._state / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.old"))
        state = ["--statedir", str(self._state / name)]
        part = Part(title, command, [*(last or ()), *self._common, *state, *given], log, self._tie)
        self._parts.append(part)
        return part

    def _shown(self, title: str) -> list[str]:
        """Return the options by which a part shows its metrics, at the next port."""
        if self._metrics is None:
            return []
        where = str(replace(self._metrics, port=self._metrics.port + len(self.metrics)))
        self.metrics[title] = where
        return ["--metrics", where]

    def check(self) -> list[str]:
        """Start services again that have ended, and return a line for each.

        Raises
        ------
        StartError
            If that happens too often, or one can't be started again.
        """
        lines = []
        for part in self._parts:
            if why := part.ended:
                now = time.monotonic()
                full = len(self._restarts) == STARTS
                if full and now - self._restarts[0] < STARTS_S:
                    raise StartError(f"the {part.title} ends again and again: {why}")
                self._restarts.append(now)
                part.start()
                lines.append(f"the {part.title} had ended and was started again: {why}")
        return lines

    def stop(self) -> bool:
        """End all services, the broker last; return whether all of them ended well."""
        broker, others = self._parts[:1], self._parts[1:]
        self._parts = []
        well = True
        for parts in (others, broker):
            for part in parts:
                part.terminate()
            ends = [part.wait() for part in parts]
            well = well and all(ends)
        return well
