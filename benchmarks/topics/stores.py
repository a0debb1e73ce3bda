"""Zarr stores as roots, in a directory and on a server of S3, against zarr-python alone."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import zarr
import zarr.codecs
import zarr.storage

from benchmarks import data, measuring, report
from benchmarks.measuring import client
from benchmarks.scale import Scale
from benchmarks.services import ROOT, free_port, services

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}  # fmt: skip
BUCKET = "bench"


@contextlib.contextmanager
def s3_server() -> Iterator[Mapping[str, str]]:
    """A server of S3 in a process of its own, as long as it is needed; the environment for it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    given = ENVIRONMENT | {"AWS_ENDPOINT": url}
    former = dict(os.environ)
    try:
        _made(f"{url}/{BUCKET}")
        os.environ.update(given)
        yield given
    finally:
        os.environ.clear()
        os.environ.update(former)
        child.terminate()
        child.wait(20)


def _made(url: str) -> None:
    """Make a bucket as soon as the server is there."""
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT")).close()
            return
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def fill(store: Any, chunks: int, copies: int) -> None:
    """Write the same array several times, so that each is read for the first time once."""
    values = data.a_values(chunks)
    blosc = zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    group = zarr.open_group(store, mode="a")
    for n in range(copies):
        group.create_array(f"x{n}", data=values, chunks=data.A_CHUNKS, compressors=blosc)


def run(scale: Scale, place: Path) -> report.Table:
    table = report.Table("stores", ("what", "zarr-python", "cold", "warm", "converted chunks"))
    runs = min(scale.runs, 3)
    local = place / "store.zarr"
    fill(local, scale.a_chunks, runs)
    one_store(table, "directory", place / "local", local, runs)
    with s3_server():
        url = f"s3://{BUCKET}/store.zarr"
        store = zarr.storage.ObjectStore(zarr_store(url))
        fill(store, scale.a_chunks, runs)
        one_store(table, "S3", place / "remote", url, runs)
    return table


def zarr_store(url: str) -> Any:
    import obstore.store

    return obstore.store.from_url(url, client_options={"allow_http": True})


def one_store(
    table: report.Table, what: str, directory: Path, where: Path | str, runs: int
) -> None:
    with services(directory, where) as running:
        found: dict[str, list[float]] = {"zarr-python": [], "cold": [], "warm": []}
        for n in range(runs):
            path = f"{ROOT}/x{n}.b2nd"
            found["zarr-python"] += client("zarr_python", str(where), f"x{n}")
            found["cold"] += client("read", running.url, path)
            found["warm"] += client("read", running.url, path)
        running.stop_one("pub")
        counts = re.search(
            r"(\d+) chunks were passed on, (\d+) converted", (directory / "pub.log").read_text()
        )
    middle = {name: measuring.quantile(values, 0.5) for name, values in found.items()}
    assert counts
    table.add(
        f"{what}, {counts[1]} chunks of 1 MB",
        report.time(middle["zarr-python"]),
        f"{report.time(middle['cold'])} ({report.times(middle['cold'] / middle['zarr-python'])})",
        f"{report.time(middle['warm'])} ({report.times(middle['warm'] / middle['zarr-python'])})",
        counts[2],
    )
