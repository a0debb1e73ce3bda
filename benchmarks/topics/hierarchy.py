"""Groups of readers far from the data: without and with a mirror between, and what others do there.

The link to the data has a round trip of 100 ms and 100 Mbit/s. Then a small array changes there,
and a reader of each kind looks until it sees that. At the end the link is cut, and one reader of
each kind reads again; of ours also after each of the services between has ended.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import zarr
import zarr.codecs

from benchmarks import data, farweb, freshness, report
from benchmarks.farweb import Read
from benchmarks.fileserver import file_server
from benchmarks.freshness import Change, Look
from benchmarks.scale import Scale
from benchmarks.services import ROOT, WAN_BANDWIDTH, Services, eventually, services, wide_area
from caterva2.client import Client
from tests.fault.proxy import Proxy

GROUPS, READERS = 4, 4
CHANGES = 20
ONCE, OF_IDEAL = 1.05, 1.5
PATIENCE = 20.0
"""Seconds that a reader waits behind a link that is cut."""


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    size = data.write_a(source, scale.a_chunks, 2).stat().st_size
    columns = "what", "time", "over the link", "change seen: p50, p99", "link cut", "bar"
    table = report.Table("hierarchy", columns)
    change = freshness.of_frame(source / "F.b2nd")
    change(0)
    with services(place / "services", source, linked=True) as running:
        direct = [_subscriber(running, f"direct{n}", running.broker) for n in range(GROUPS)]
        near = running.start("near", "cat2bro", "--endpoint", "127.0.0.1:0")
        _subscriber(running, "mirror", running.broker, "--publish", ROOT, "--publish-to", near)
        behind = [_subscriber(running, f"behind{n}", near) for n in range(GROUPS)]
        link, urls = running.data, {"a subscriber each": direct, "behind one mirror": behind}
        for n, (what, of) in enumerate(urls.items()):
            fresh = change, partial(_first, of[0])
            _add(table, what, _ours(of, f"{ROOT}/A{n}.b2nd"), link, size, fresh, bars=n > 0)
        _add_ends(table, running, {what: _ours(of, f"{ROOT}/A0.b2nd") for what, of in urls.items()})
    _add_others(table, scale, place)
    return table


def _first(url: str) -> int:
    """Read a value of the small array."""
    return int(Client(url).fetch(f"{ROOT}/F.b2nd", 0))


def _add_ends(table: report.Table, running: Services, readers: dict[str, Read]) -> None:
    """Read what is cached after each service between the data and readers has ended."""
    for read in readers.values():
        read(0)
    ends = {"bro": "its broker", "near": "the near broker", "mirror": "the mirror"}
    for name, title in ends.items():
        running.stop_one(name)
        for what, read in readers.items():
            if name == "bro" or what == "behind one mirror":
                table.add(f"{what}, and {title} ends too", "", "", "", _once(read))


def _add_others(table: report.Table, scale: Scale, place: Path) -> None:
    """Add what others do with files on a server."""
    store = place / "data" / "store.zarr"
    packing = zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    group = zarr.open_group(store, mode="a")
    values = data.a_values(scale.a_chunks)
    group.create_array("A", data=values, chunks=data.A_CHUNKS, compressors=packing)
    stored = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    file, small = place / "data" / "A0.b2nd", place / "data" / "F.b2nd"
    change = freshness.of_zarr(group, "F")
    with contextlib.ExitStack() as stack:
        url, server = stack.enter_context(file_server(place / "data", place / "server"))
        link = Proxy(int(url.rpartition(":")[2]))
        stack.callback(link.close)
        far = f"http://127.0.0.1:{link.port}"
        read, fresh = farweb.zarr_over(f"{far}/store.zarr", "A"), _small_zarr(far)
        _add(table, f"zarr over {server}", read, link, stored, (change, fresh))
        if farweb.has_nginx():
            near = stack.enter_context(farweb.caching_proxy(place / "near", link.port))
            read = farweb.zarr_over(f"{near}/store.zarr", "A")
            fresh = _small_zarr(near)
            _add(table, "zarr behind nginx as a caching proxy", read, link, stored, (change, fresh))
        else:
            table.add("zarr behind nginx as a caching proxy", "nginx is not installed")
        lazy = farweb.blosc2_over(f"{far}/{file.name}", place / "lazy")
        again = farweb.blosc2_over(f"{far}/{small.name}", place / "lazy")
        seen = freshness.of_frame(small), partial(_first_of, again)
        _add(table, "Blosc2's lazy cache, one a group", lazy, link, file.stat().st_size, seen)


def _first_of(read: Read) -> int:
    found: Any = read(0)
    return int(found[0])


def _small_zarr(url: str) -> Look:
    return partial(_first_of, farweb.zarr_over(f"{url}/store.zarr", "F"))


def _subscriber(running: Services, name: str, broker: str, *given: str) -> str:
    """Start a subscriber that knows the root; return its URL."""
    at = running.start(name, "cat2sub", "--broker", broker, "--http", "127.0.0.1:0", *given)
    url = f"http://{at}"
    eventually(lambda: Client(url).subscribe(ROOT) == "Ok")
    return url


def _ours(urls: list[str], path: str) -> Read:
    return lambda group: Client(urls[group]).fetch(path)


def _add(
    table: report.Table, what: str, read: Read, link: Proxy, size: int,
    fresh: tuple[Change, Look], *, bars: bool = False,
) -> None:  # fmt: skip
    """Have all readers of all groups read over a link, and one again when that is cut."""
    title, before = f"{GROUPS} groups of {READERS} readers, {what}", link.carried
    try:
        with wide_area(link):
            took = _together([partial(read, n) for n in range(GROUPS) for _ in range(READERS)])
            crossed = link.carried - before
            seen = freshness.measured(*fresh, CHANGES)
    except Exception as error:  # noqa: BLE001 - of others
        table.add(title, f"failed: {type(error).__name__}")
        return
    share, ideal = crossed / size, took / (size / WAN_BANDWIDTH)
    once = report.at_most(share, ONCE) if bars else ""
    soon = report.at_most(ideal, OF_IDEAL) if bars else ""
    shown = report.time(took), report.times(share, "the file"), seen, _cut(read, link)
    table.add(title, *shown, once)
    table.add("the same: of the time of one copy", "", report.times(ideal, "that"), "", "", soon)


def _cut(read: Read, link: Proxy) -> str:
    """Return what a reader of the first group gets while a link is cut."""
    link.swallow = True
    link.cut()
    try:
        return _once(read)
    finally:
        link.heal()


def _once(read: Read) -> str:
    """Return what a reader of the first group gets."""
    found: list[str] = []

    def look() -> None:
        began = time.monotonic()
        try:
            read(0)
            found.append(f"read in {report.time(time.monotonic() - began)}")
        except Exception as error:  # noqa: BLE001 - of others
            after = report.time(time.monotonic() - began)
            found.append(f"{type(error).__name__} after {after}")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return found[0] if found else f"nothing for {PATIENCE:.0f} s"


def _together(works: list[Callable[[], object]]) -> float:
    """Return the seconds until all works are done that begin at once."""
    failed: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.monotonic() - began
