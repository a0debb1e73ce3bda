"""Expressions over A: computed by the subscriber, by Blosc2 on the local file, or after a read."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import blosc2
import numpy as np

from benchmarks import data, measuring, report
from benchmarks.measuring import seconds
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, services, wide_area
from caterva2.client import Client, Dataset
from caterva2.client.read.stream import ACCEPT
from caterva2.rest import paths
from caterva2.rest.paths import relative

TEXTS = ("a * 2 + 1", "sin(a) + cos(a)**2", "mean(a)")
BAR = 1.1


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    data.write_a(source, scale.a_chunks, scale.runs + 1)
    table = report.Table("expressions", ("what", "time", "transferred", "ratio", "bar"))
    with services(place / "services", source, linked=True) as running:
        for name in ("A", *(f"A{n}" for n in range(scale.runs + 1))):
            opened(running.client, f"{ROOT}/{name}.b2nd")[...]
        means(table, scale, running)
        far_means(table, scale, running)
        for text in TEXTS:
            evaluators(table, scale, running, text)
    return table


def means(table: report.Table, scale: Scale, running: Services) -> None:
    """Add the mean of A, by one number and by all of A; each copy is computed once."""
    path, fresh = f"{ROOT}/A.b2nd", itertools.count()
    took = measuring.interleaved(
        scale.runs,
        {
            "there": lambda: seconds(lambda: opened(running.client, copy(fresh)).mean()),
            "here": lambda: seconds(lambda: opened(running.client, path)[...].mean()),
        },
    )
    there, here = received(running.client, path)
    table.add("`ds.mean()`", report.time(took["there"]), f"{there:,} B")
    ratio = report.times(took["here"] / took["there"], "`ds.mean()`")
    table.add("`ds[...].mean()`", report.time(took["here"]), report.megabytes(here), ratio)


def far_means(table: report.Table, scale: Scale, running: Services) -> None:
    """Add the mean of A over 100 ms and 100 Mbit/s, by one number, and by a download of A."""
    far, took = Client(running.far_url), {}
    with wide_area(running.web):
        for name, work in {
            "there": lambda: opened(far, f"{ROOT}/A{scale.runs}.b2nd").mean(),
            "here": lambda: opened(far, f"{ROOT}/A.b2nd")[...].mean(),
        }.items():
            before = running.web.carried
            took[name] = seconds(work), running.web.carried - before
    (there, number), (here, whole) = took["there"], took["here"]
    table.add("`ds.mean()`, far away", report.time(there), f"{number:,} B")
    ratio = report.times(here / there, "`ds.mean()`")
    table.add("`ds[...].mean()`, far away", report.time(here), report.megabytes(whole), ratio)


def copy(fresh: itertools.count[int]) -> str:
    return f"{ROOT}/A{next(fresh)}.b2nd"


def received(client: Client, path: str) -> tuple[int, int]:
    """Bytes of the body with the mean of a dataset, and of the chunks with all of it."""
    body = json.dumps({"expression": "mean(a)", "operands": {"a": path}}).encode()
    answer = client.transport.request("POST", relative(paths.COMPUTE), None, ACCEPT, body)
    return len(answer.body), opened(client, path).cbytes


def opened(client: Client, path: str) -> Dataset:
    found = client.get(path)
    assert isinstance(found, Dataset)
    return found


def evaluators(table: report.Table, scale: Scale, running: Services, text: str) -> None:
    """Add an expression by the subscriber and by Blosc2; both give all values to this process."""
    fresh = itertools.count()
    local = Path(running.source) / "A.b2nd"

    def there() -> object:
        # Another text each time, or the mean would be found in the cache.
        salted = text.replace("(a)", f"(a + {next(fresh)})") if text == "mean(a)" else text
        return running.client.compute(salted, a=f"{ROOT}/A.b2nd")

    def here() -> object:
        operand = blosc2.open(str(local))
        salted = text.replace("(a)", f"(a + {next(fresh)})") if text == "mean(a)" else text
        return np.asarray(blosc2.lazyexpr(salted, {"a": operand})[()])

    took = measuring.interleaved(
        scale.runs, {"there": lambda: seconds(there), "here": lambda: seconds(here)}
    )
    ratio = took["there"] / took["here"]
    table.add(f"`{text}`: Blosc2 on the local file", report.time(took["here"]))
    table.add(
        f"`{text}`: `client.compute`", report.time(took["there"]), "",
        report.times(ratio), report.at_most(ratio, BAR),
    )  # fmt: skip
