"""Groups of readers far from the data, a subscriber each: without, and with a mirror between.

The link to the publisher has a round trip of 100 ms and 100 Mbit/s.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from benchmarks import data, report
from benchmarks.scale import Scale
from benchmarks.services import ROOT, WAN_BANDWIDTH, Services, eventually, services, wide_area
from caterva2.client import Client

GROUPS, READERS = 4, 4
ONCE, OF_IDEAL = 1.05, 1.5


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    size = data.write_a(source, scale.a_chunks, 2).stat().st_size
    table = report.Table("hierarchy", ("what", "time", "over the link", "bar"))
    with services(place / "services", source, linked=True) as running:
        direct = [_subscriber(running, f"direct{n}", running.broker) for n in range(GROUPS)]
        near = running.start("near", "cat2bro", "--endpoint", "127.0.0.1:0")
        _subscriber(running, "mirror", running.broker, "--publish", ROOT, "--publish-to", near)
        behind = [_subscriber(running, f"behind{n}", near) for n in range(GROUPS)]
        for what, urls, path in (
            ("a subscriber each", direct, f"{ROOT}/A0.b2nd"),
            ("behind one mirror", behind, f"{ROOT}/A1.b2nd"),
        ):
            before = running.data.carried
            with wide_area(running.data):
                took = _read(urls, path)
            share = (running.data.carried - before) / size
            ideal = took / (size / WAN_BANDWIDTH)
            bars = urls is behind
            once = report.at_most(share, ONCE) if bars else ""
            soon = report.at_most(ideal, OF_IDEAL) if bars else ""
            title = f"{GROUPS} groups of {READERS} readers, {what}"
            table.add(title, report.time(took), report.times(share, "the file"), once)
            table.add("the same: of the time of one copy", "", report.times(ideal, "that"), soon)
    return table


def _subscriber(running: Services, name: str, broker: str, *given: str) -> str:
    """Start a subscriber that knows the root; return its URL."""
    at = running.start(name, "cat2sub", "--broker", broker, "--http", "127.0.0.1:0", *given)
    url = f"http://{at}"
    eventually(lambda: Client(url).subscribe(ROOT) == "Ok")
    return url


def _read(urls: list[str], path: str) -> float:
    """Return the seconds until all readers of all groups have read all of a dataset."""
    failed: list[BaseException] = []

    def read(url: str) -> None:
        try:
            Client(url).fetch(path)
        except Exception as error:  # noqa: BLE001 - raised below
            failed.append(error)

    threads = [threading.Thread(target=read, args=(url,)) for url in urls for _ in range(READERS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.monotonic() - began
