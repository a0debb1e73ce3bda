"""The first plot of a stack in a browser: from the navigation until it is drawn."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np

from benchmarks import measuring, report
from benchmarks.scale import TINY, Scale
from benchmarks.services import ROOT, services

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FRAMES, SIDE = 60, 256
BAR = 1.0
VISITS = 3
"""For each run of the scale: what a browser does beside the page varies most."""


def stack(frames: int) -> np.ndarray:
    """Spots that go round, as of a detector."""
    y, x = np.mgrid[:SIDE, :SIDE]
    turns = [(60 * np.cos(a), 60 * np.sin(a)) for a in np.linspace(0, 6, frames)]
    spots = [900 * np.exp(-((x - 128 - c) ** 2 + (y - 128 - s) ** 2) / 800) for c, s in turns]
    return (np.stack(spots) + 5).astype("u2")


def seconds(browser: Browser, url: str, slower: int) -> float:
    """Time of a visit by a browser that has seen nothing of this site, ``slower`` times."""
    context = browser.new_context()
    try:
        page = context.new_page()
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
        began = time.perf_counter()
        page.goto(url)
        page.locator("#plot[data-state=ready]").wait_for()
        return time.perf_counter() - began
    finally:
        context.close()


def run(scale: Scale, place: Path) -> report.Table:
    table = report.Table("plots", ("first plot", "time", "bar"))
    executable = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if executable is None:
        table.add("not measured: there is no Chromium", "", "")
        return table
    from playwright.sync_api import sync_playwright

    frames = 3 if scale is TINY else FRAMES
    source = place / "data"
    source.mkdir()
    blosc2.asarray(stack(frames), urlpath=str(source / "stack.b2nd"), chunks=(1, SIDE, SIDE))
    with services(place / "services", source) as running, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        url = f"{running.url}/roots/{ROOT}/stack.b2nd?tab=plot"
        seconds(browser, url, 1)  # the pages are loaded, and the scripts compressed
        found = measuring.interleaved(
            VISITS * scale.runs,
            {
                "whole": lambda: seconds(browser, url, 1),
                "half": lambda: seconds(browser, url, 2),
            },
        )
        browser.close()
    size = f"{frames} x {SIDE} x {SIDE} uint16"
    table.add(size, report.time(found["whole"]), report.at_most(found["whole"], BAR, " s"))
    table.add("its page with half a processor", report.time(found["half"]))
    return table
