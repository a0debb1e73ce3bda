"""What keys on the links between services cost: cold reads, cold slices, and connecting."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import data, measuring, report
from benchmarks.measuring import client
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services
from caterva2.names import RootName
from caterva2.wire import codec, messages, sockets
from caterva2.wire.auth import allow_list, keys, list_file
from caterva2.wire.auth.curve import PLAIN, Curve, Links
from caterva2.wire.requester import Requester

CONNECTIONS = 100
SLICES = 20
OFF, ON = "without keys", "with keys"


class KeyedServices(Services):
    """Services that use keys on all links."""

    def start(self, name: str, command: str, *given: str) -> str:
        keys_of = {one: self._pair(one).public for one in ("bro", "pub", "sub", "bench")}
        roles = {"pub": f"publish {ROOT}", "sub": f"read {ROOT}", "bench": f"read {ROOT}"}
        if name != "sub":
            for who, rights in roles.items():
                line = f"{who} {keys_of[who]} {rights}"
                self._allow(self.state(name) / list_file.FILE, line)
        if name != "bro":
            given = ("--broker-key", keys_of["bro"], *given)
        return super().start(name, command, "--curve", "required", *given)

    def _pair(self, name: str) -> keys.Keypair:
        self.state(name).mkdir(exist_ok=True)
        return keys.read_or_make(self.state(name) / keys.FILE)

    def _allow(self, file: Path, line: str) -> None:
        list_file.change(file, lambda text: allow_list.with_line(text, line))

    def links(self) -> tuple[Links, str]:
        """What prepares sockets that connect to the publisher, and its key."""
        return Curve(self._pair("bench")), self._pair("pub").public


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    data.write_a(source, scale.a_chunks, 2 * scale.runs)
    table = report.Table("keys", ("what", OFF, ON, "ratio"))
    with both(place, source) as running:
        fresh = {name: itertools.count() for name in running}
        used: dict[str, list[float]] = {name: [] for name in running}

        def cold(name: str) -> float:
            before = busy(running[name])
            path = f"{ROOT}/A{next(fresh[name])}.b2nd"
            took = client("read", running[name].url, path)[0]
            used[name].append(busy(running[name]) - before)
            return took

        def slices(name: str) -> float:
            path = f"{ROOT}/A{next(fresh[name])}.b2nd"
            return statistics.median(client("slices", running[name].url, path, str(SLICES), "1"))

        in_turns = measuring.interleaved
        row(table, "cold read of A", in_turns(scale.runs, works(cold)))
        seconds = {name: statistics.median(values) for name, values in used.items()}
        row(table, "processor time of publisher and subscriber for it", seconds)
        row(table, "cold slice of 10x10", in_turns(scale.runs, works(slices)))
        connects = {name: connecting(one) for name, one in running.items()}
        row(table, "connecting to a publisher, and its first answer", connects)
    return table


def works(work: Any) -> dict[str, measuring.Work]:
    return {OFF: lambda: work(OFF), ON: lambda: work(ON)}


def row(table: report.Table, what: str, took: dict[str, float]) -> None:
    ratio = report.times(took[ON] / took[OFF])
    table.add(what, report.time(took[OFF]), report.time(took[ON]), ratio)


@contextlib.contextmanager
def both(place: Path, source: Path) -> Iterator[dict[str, Services]]:
    """Services without and with keys, at a time."""
    with contextlib.ExitStack() as stack:
        made: dict[str, Services] = {}
        for name, kind in ((OFF, Services), (ON, KeyedServices)):
            made[name] = kind(place / name.replace(" ", "-"), source)
            stack.callback(made[name].stop)
            made[name].published()
        yield made


def busy(services: Services) -> float:
    """Seconds of processor time that publisher and subscriber have taken."""
    ticks = 0
    for name in ("pub", "sub"):
        stat = Path(f"/proc/{services.children[name].process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def connecting(services: Services) -> float:
    """Seconds to connect to the publisher and to have its first answer."""
    links, key = services.links() if isinstance(services, KeyedServices) else (PLAIN, "")

    async def one(context: sockets.Context) -> float:
        began = time.perf_counter()
        asked: Requester[Any] = Requester(
            context, f"tcp://127.0.0.1:{services.port}", codec.data_replies, RootName(ROOT),
            protect=links.call(key),
        )  # fmt: skip
        try:
            await asked.ask(messages.Hello(), 20)
            return time.perf_counter() - began
        finally:
            asked.close()

    async def all_of_them() -> float:
        with sockets.new_context() as context:
            return statistics.median([await one(context) for _ in range(CONNECTIONS)])

    return asyncio.run(all_of_them())
