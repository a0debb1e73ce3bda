"""What strangers can do to services without keys, and to files that these publish.

Each attack is a process of its own against services that run; meanwhile an honest reader reads
small slices, most of which come from the publisher. Then all services are started again.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data, measuring, report
from benchmarks.hostile.target import Target
from benchmarks.hostile.web import USER, WORD
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services
from caterva2.accounts import hashing
from caterva2.accounts.identity import Email
from caterva2.accounts.store import FILE, AccountStore
from caterva2.client import CatervaError, Client
from caterva2.config import SECRET

DATASET = f"{ROOT}/B.b2nd"
KEPT, CONTENT = "@public/kept.txt", b"kept over all starts"
QUIET_S = 3.0
"""For which the honest reader reads alone."""
LIMIT_S = 300
SETTINGS = '[subscriber]\nproxy = ["127.0.0.1"]\n'


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack, the service that it is on, and what it did in the version of 2026-11-25."""

    name: str
    on: str
    title: str
    before: str


ATTACKS = (
    Attack("endless_head", "sub", "a head without an end", "4.8 GB in 10 s, others wait 6.8 s"),
    Attack("idle_sockets", "sub", "1,100 idle sockets", "everybody 503, none closed after 35 s"),
    Attack("name_of_bytes", "pub", "a file name that is no UTF-8", "publisher ended"),
    Attack("swapped_links", "pub", "directories swapped with links", "publisher ended"),
    Attack("damaged_hdf5", "pub", "files of HDF5 that were cut", "publisher hung until SIGKILL"),
    Attack("unfinished", "pub", "messages without an end", "+440 MB at each, without a bound"),
    Attack("topics", "bro", "very many topics, and long ones", "+765 MB, no hello for 10 s"),
    Attack("lazy_readers", "pub", "readers that take nothing", "others busy for 10 min, +290 MB"),
    Attack("forged_change", "sub", "forged notes of changes", "all datasets gone for good"),
    Attack("burnt_name", "bro", "the largest fence", "the name is burnt for ever"),
    Attack("lease_theft", "bro", "the lease of another", "root moved until the next beat"),
    Attack("foreign_endpoints", "bro", "endpoints elsewhere", "all registered, and connected to"),
    Attack("many_names", "bro", "20,000 names", "all granted, +170 MB, hello 1.3 s"),
    Attack("endless_catalog", "sub", "a catalog without an end", "+2.7 GB, refused after 37 s"),
    Attack("endless_frames", "sub", "frames of 300 MB", "+1.2 GB, asked for four times"),
    Attack("many_roots", "sub", "400 roots", "stopped at 338, requests without an end"),
    Attack("lock_out", "sub", "100 guesses of a password", "429 for the user, from anywhere"),
)  # fmt: skip
_NAMES = {"sub": "subscriber", "pub": "publisher", "bro": "broker"}


class Attacked(Services):
    """Services with an account, which may be started again."""

    def start(self, name: str, command: str, *given: str) -> str:
        if name == "sub":
            self.state(name).mkdir(exist_ok=True)
            settings = self.state("sub").parent / "caterva2.toml"
            settings.write_text(SETTINGS)
            if not (self.state(name) / FILE).exists():
                store = AccountStore(self.state(name) / FILE)
                store.add(Email(USER), hashing.hash_password(WORD.encode()), True, 10)
                store.close()
            given = (*given, "--conf", str(settings))
        return super().start(name, command, *given)

    def again(self) -> None:
        """End all services, and start them."""
        for child in reversed(self.children.values()):
            child.stop()
        self.children.clear()
        self._start_all()
        self.published()

    def pid(self, name: str) -> int:
        return self.children[name].process.pid


class HonestReader:
    """Reads small slices from a thread, and notes how long each takes."""

    def __init__(self, url: str, chunks: int) -> None:
        self.times: list[float] = []
        self.failures: list[str] = []
        self._end = threading.Event()
        self._client, self._size = Client(url), chunks
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        places = random.Random(0)
        while not self._end.is_set():
            row, place = places.randrange(self._size), places.randrange(data.B_CHUNK - 10)
            began = time.perf_counter()
            try:
                self._client.fetch(DATASET, (row, slice(place, place + 10)))
                self.times.append(time.perf_counter() - began)
            except CatervaError as error:
                self.failures.append(str(error))
            self._end.wait(0.005)

    def end(self) -> str:
        """Stop, and return the 99th percentile of the times."""
        self._end.set()
        self._thread.join()
        found = report.time(measuring.quantile(self.times, 0.99)) if self.times else "**none**"
        return f"{found}, {len(self.failures)} failed" if self.failures else found


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    data.write_b(source, scale.b_chunks)
    os.environ.setdefault(SECRET, "of the benchmark only: keeps sessions")
    columns = ("attack", "before", "now", "memory", "p99 of readers", "after a restart")
    table = report.Table("attacks", columns)
    running = Attacked(place / "services", source)
    try:
        running.published()
        Client(running.url, (USER, WORD)).upload(CONTENT, KEPT)
        known = state(running)
        alone = HonestReader(running.url, scale.b_chunks)
        time.sleep(QUIET_S)
        table.add("none", "", "", "", alone.end())
        for attack in ATTACKS:
            table.add(*row(running, attack, scale.b_chunks, known))
            print(*table.rows[-1], sep=" | ", file=sys.stderr, flush=True)
    finally:
        running.stop()
    return table


def row(running: Attacked, attack: Attack, chunks: int, known: object) -> tuple[str, ...]:
    """Attack, and start all services again."""
    before = resident(running.pid(attack.on), reset=True)
    reader = HonestReader(running.url, chunks)
    try:
        found = attacked(running, attack.name)
    finally:
        p99 = reader.end()
    died = [name for name, one in running.children.items() if one.process.poll() is not None]
    alive = f"; **{', '.join(died)} ended**" if died else ""
    peak = before if died else resident(running.pid(attack.on))
    running.again()
    lost = "nothing lost" if state(running) == known else "**differs**"
    memory = f"{_NAMES[attack.on]} {before:.0f} to {peak:.0f} MB"
    return attack.title, attack.before, found + alive, memory, p99, lost


def attacked(running: Attacked, name: str) -> str:
    """Run an attack in a process of its own, and return what it found."""
    data_at = f"127.0.0.1:{running.port}"
    target = Target(running.url, running.broker, data_at, ROOT, str(running.source))
    child = measuring.process("-m", "benchmarks.hostile", name, str(target))
    try:
        out, _ = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return f"**no end after {LIMIT_S} s**"
    return out.splitlines()[-1] if not child.returncode else "**the attack failed**"


def resident(pid: int, *, reset: bool = False) -> float:
    """Peak of a process's memory in megabytes, from the last time on that it was reset."""
    if reset:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def state(running: Attacked) -> object:
    """What has to be there after each start."""
    client = Client(running.url)
    values = client.fetch(DATASET, (20, slice(10, 20))).tolist()
    return sorted(client.get_list(ROOT)), values, bytes(client.fetch(KEPT))
