"""Overviews of a large plane: made for the first time, and again, beside decoding it once."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import blosc2
import numpy as np

from benchmarks import measuring, report
from benchmarks.measuring import client
from benchmarks.scale import TINY, Scale
from benchmarks.services import ROOT, services

SIDE = 8000
FIRST, AGAIN = 1.3, 0.02


def plane(side: int) -> np.ndarray:
    """Values of which a third is noise, as of a detector."""
    y, x = np.ogrid[:side, :side]
    noise = np.random.default_rng(0).random((side, side), np.float32)
    return (np.sin(x / 300) * np.cos(y / 500)).astype("f4") + noise.round(2) / 2


def asked(url: str, n: int) -> float:
    """Seconds until the overview of a plane is there."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"{url}/api/overview/{ROOT}/p{n}.b2nd?size=1024") as answer:
        answer.read()
    return time.perf_counter() - began


def run(scale: Scale, place: Path) -> report.Table:
    side = 256 if scale is TINY else SIDE
    source = place / "data"
    source.mkdir()
    values = plane(side)
    cparams = blosc2.CParams(codec=blosc2.Codec.LZ4)
    for n in range(scale.runs):
        blosc2.asarray(values, urlpath=str(source / f"p{n}.b2nd"), cparams=cparams)
    with services(place / "services", source) as running:
        for n in range(scale.runs):
            client("read", running.url, f"{ROOT}/p{n}.b2nd")
        time.sleep(3)  # the pages have been loaded
        numbers = iter(range(scale.runs))
        again = iter(range(scale.runs))
        stored = blosc2.open(str(source / "p0.b2nd"))
        found = measuring.interleaved(
            scale.runs,
            {
                "decoding": lambda: measuring.seconds(lambda: stored[:]),
                "first": lambda: asked(running.url, next(numbers)),
                "again": lambda: asked(running.url, next(again)),
            },
        )
    table = report.Table("overviews", ("what", "time", "ratio", "bar"))
    ratio = found["first"] / found["decoding"]
    table.add(f"decoding {side} x {side} float32 by Blosc2", report.time(found["decoding"]))
    table.add(
        "overview, for the first time", report.time(found["first"]),
        report.times(ratio, "decoding"), report.at_most(ratio, FIRST),
    )  # fmt: skip
    table.add(
        "overview, again", report.time(found["again"]), "",
        report.at_most(found["again"] * 1000, AGAIN * 1000, " ms"),
    )  # fmt: skip
    return table
