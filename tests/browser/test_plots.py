"""Plots: first sight, zoom, places in the address, and whatever arrays there are."""

from __future__ import annotations

import html
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest

from tests.browser.visits import Visit, plant
from tests.conftest import Stack, eventually
from tests.thoroughness import some
from tests.web.asking import ask

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

SIDE = 4800
HOT, PEAK = (4321, 1234), 1e6


def write(path: Path, values: np.ndarray) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(blosc2.asarray(values).to_cframe())
    new.rename(path)


def write_arrays(root: Path) -> None:
    """Write what the tests plot."""
    y, x = np.mgrid[:256, :256]
    places = np.linspace(0, 6, 60)
    stack = np.stack([
        900 * np.exp(-((x - 128 - 60 * np.cos(a)) ** 2 + (y - 128 - 60 * np.sin(a)) ** 2) / 800)
        for a in places
    ])  # fmt: skip
    hot = blosc2.zeros(
        (SIDE, SIDE), "f4", chunks=(600, SIDE), blocks=(60, SIDE),
        urlpath=str(root / "hot.b2nd"), mode="w",
    )  # fmt: skip
    hot[HOT] = PEAK
    records = np.zeros(50, [("t", "f8"), ("n", "i4"), ("name", "U3")])
    records["t"], records["n"] = np.linspace(0, 1, 50), np.arange(50) ** 2
    colours = np.zeros((40, 50, 3), "u1")
    colours[:20, :, 0] = colours[20:, :, 1] = 255
    arrays = {
        "stack": (stack + 5).astype("u2"),
        "line": np.sin(np.arange(1_000_000) / 1e5).astype("f4"),
        "complex": np.array([[3, 3j, -3, -3j]] * 3),
        "nan": np.full((20, 30), np.nan),
        "empty": np.zeros((0, 5)),
        "axes": np.arange(2.0**16).reshape((2,) * 16),
        "text": np.array(["a", "b"]),
        "records": records,
        "colours": colours,
        "small": np.arange(16, dtype=">f8").reshape(4, 4),
    }
    for name, values in arrays.items():
        chunks = (1, 256, 256) if name == "stack" else None
        blosc2.asarray(values, urlpath=str(root / f"{name}.b2nd"), mode="w", chunks=chunks)


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("stack"))
    root = made.directory / "lab"
    root.mkdir()
    write_arrays(root)
    try:
        made.start(lab=root)
        yield made
    finally:
        made.stop_all()


class Plotted:
    """The Plot tab of an array in a visit."""

    def __init__(self, visit: Visit, name: str, query: str = "") -> None:
        self.visit = visit
        self.page: Page = visit.go(f"/roots/lab/{name}.b2nd?tab=plot{query}")
        self.area: Locator = self.page.locator("#plot")
        self.has("state", "ready")

    def has(self, name: str, value: str | re.Pattern[str]) -> None:
        """Wait until the plot shows something."""
        from playwright.sync_api import expect

        expect(self.area).to_have_attribute(f"data-{name}", value)
        expect(self.area).to_have_attribute("data-state", "ready")

    def data(self, name: str) -> str:
        return self.area.get_attribute(f"data-{name}") or ""

    def reads(self) -> list[dict[str, str]]:
        """The parameters of all overviews that were asked for."""
        asked = map(urllib.parse.urlsplit, self.visit.requests)
        queries = [url.query for url in asked if url.path.startswith("/api/overview/")]
        return [dict(urllib.parse.parse_qsl(query)) for query in queries]

    def query(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.page.url).query))

    def middle(self) -> tuple[float, float]:
        box = self.page.locator("#plot canvas").bounding_box()
        assert box
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def choose(self, name: str, value: str) -> None:
        self.page.locator(f"select[name={name}]").select_option(value)


def test_the_first_plot_of_a_stack_reads_one_plane(visit: Visit) -> None:
    plot = Plotted(visit, "stack")
    assert plot.reads() == [{"slice_": "0,:,:", "size": "1024", "reduce": "max"}]
    assert (plot.data("shape"), plot.data("slice"), plot.data("max")) == ("256x256", "0,:,:", "905")
    assert visit.received < 600_000  # the plane has 131,072 bytes, the packed script 340,000
    assert len(visit.requests) <= 25


def brightest(plot: Plotted) -> int:
    """The greatest red value of the canvas: the first colour of viridis has 68, the last 253."""
    drawn = """canvas => {
        const copy = document.createElement("canvas");
        [copy.width, copy.height] = [canvas.width, canvas.height];
        const context = copy.getContext("2d");
        context.drawImage(canvas, 0, 0);
        const { data } = context.getImageData(0, 0, copy.width, copy.height);
        let most = 0;
        for (let i = 0; i < data.length; i += 4) most = Math.max(most, data[i]);
        return most;
    }"""
    return int(plot.page.locator("#plot canvas").evaluate(drawn))


def test_a_single_hot_pixel_is_seen_in_a_zoomed_plot_and_in_all_of_a_large_plane(
    visit: Visit,
) -> None:
    plot = Plotted(visit, "hot", "&aspect=fill&zoom=1200,1300,4300,4400")
    region = re.fullmatch(r"(\d+):(\d+),(\d+):(\d+)", plot.data("slice"))
    assert region, plot.data("slice")
    top, bottom, left, right = map(int, region.groups())
    assert top <= 4300 < 4400 <= bottom <= top + 200
    assert left <= 1200 < 1300 <= right <= left + 200
    assert float(plot.data("max")) == PEAK
    assert plot.query()["zoom"] == "1200,1300,4300,4400"
    plot.page.get_by_role("button", name="Reset zoom").click()
    plot.has("slice", ":,:")
    assert "zoom" not in plot.query()
    assert float(plot.data("max")) == PEAK
    assert visit.received < 5_000_000
    assert brightest(plot) > 150


@pytest.mark.slow
def test_the_wheel_zooms_into_a_line(visit: Visit) -> None:
    plot = Plotted(visit, "line")
    assert plot.reads()[0]["reduce"] == "minmax"
    plot.page.mouse.move(*plot.middle())
    for _ in range(10):
        plot.page.mouse.wheel(0, -100)
    plot.has("slice", re.compile(r"^[1-9]\d{4,5}:\d{6}$"))


@pytest.mark.slow
def test_a_url_restores_the_view(browser: Browser, shared_stack: Stack, visit: Visit) -> None:
    plot = Plotted(visit, "stack")
    plot.page.locator('[data-axis="0"] input[type=range]').focus()
    plot.page.keyboard.press("ArrowRight")
    plot.has("slice", "1,:,:")
    plot.choose("scale", "log")
    plot.choose("map", "magma")
    plot.page.get_by_label("From").fill("10")
    plot.page.keyboard.press("Enter")
    plot.page.wait_for_url("**lo=10**")
    with Visit.begun(browser, shared_stack.url) as other:
        again = Plotted(other, "stack", plot.page.url.partition("tab=plot")[2])
        assert again.reads() == [{"slice_": "1,:,:", "size": "1024", "reduce": "max"}]
        state = [
            again.page.locator(f"[name={name}]").input_value() for name in ("scale", "map", "lo")
        ]
        assert state == ["log", "magma", "10"]


@pytest.mark.slow
def test_back_goes_to_the_view_before(visit: Visit) -> None:
    plot = Plotted(visit, "stack", "&slice=7,:,:")
    plot.choose("kind", "line")
    plot.has("shape", "256")
    plot.choose("x", "0")
    plot.has("shape", "60")
    plot.page.go_back()
    plot.has("shape", "256")
    plot.page.go_back()
    plot.has("slice", "7,:,:")
    assert plot.page.locator("select[name=kind]").input_value() == "heatmap"


CLICK = """new MutationObserver((_, self) => {
    const plot = document.querySelector("#plot[data-state=ready]");
    if (plot) self.disconnect(); else return;
    const canvas = plot.querySelector("canvas");
    canvas.setPointerCapture = canvas.releasePointerCapture = () => {}; // of a pointer of its own
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const at = { bubbles: true, clientX: left + width / 2, clientY: top + height / 2 };
    for (const k of ["pointerdown", "pointerup"]) canvas.dispatchEvent(new PointerEvent(k, at));
}).observe(document, { subtree: true, attributeFilter: ["data-state"] });"""
"""Clicks on the middle of the plot at once when it is said to be ready."""


@pytest.mark.slow
def test_a_click_shows_the_line_through_the_place(visit: Visit) -> None:
    from playwright.sync_api import expect

    visit.page.add_init_script(CLICK)
    plot = Plotted(visit, "stack")
    plot.page.wait_for_url("**pick=**")
    line = plot.page.locator("[data-line]")
    expect(line).to_have_attribute("data-state", "ready")
    x, y = map(int, plot.query()["pick"].split(","))
    assert line.get_attribute("data-slice") == f":,{y},{x}"
    assert 100 < x < 156
    plot.page.locator("[data-along]").select_option("2")
    expect(line).to_have_attribute("data-slice", f"0,{y},:")


@pytest.mark.slow
def test_playback_goes_through_the_stack_until_it_is_stopped(visit: Visit) -> None:
    plot = Plotted(visit, "stack", "&slice=57,:,:")
    button = plot.page.get_by_role("button", name="Play through axis 0")
    button.click()
    plot.has("slice", re.compile(r"^[1-3]?\d,:,:$"))  # after the last one comes the first
    button.click()
    assert button.get_attribute("aria-pressed") == "false"


def test_any_array_of_numbers_is_drawn(visit: Visit) -> None:
    cases = {
        "complex": {"shape": "3x4", "min": "3", "max": "3"},
        "complex&part=angle&kind=line": {"shape": "4", "max": str(np.pi)},
        "nan": {"shape": "20x30", "min": "", "max": ""},
        "empty": {"shape": "0x5", "min": "", "slice": ""},
        "axes&x=3&y=0": {"shape": "2x2", "max": "36864"},
        "records&kind=scatter": {"shape": "50", "min": "0", "max": "1"},
        "records&kind=histogram&field=n": {"shape": "50", "max": "2401"},
        "colours": {"shape": "40x50", "max": "255", "slice": ":,:,0"},
        "small&scale=log": {"shape": "4x4", "max": "15"},
        "small&scale=symlog&lo=20&hi=2": {"shape": "4x4", "max": "15"},
    }
    notes = {"nan": "All values here are NaN.", "empty": "This array has no items."}
    for case, shown in some(list(cases.items()), 10, 5):
        name, _, query = case.partition("&")
        plot = Plotted(visit, name, f"&{query}")
        assert (case, {key: plot.data(key) for key in shown}) == (case, shown)
        assert notes.get(name, "") in plot.area.inner_text()


def test_a_plot_follows_changes_and_keeps_its_zoom(visit: Visit, shared_stack: Stack) -> None:
    from playwright.sync_api import expect

    root = shared_stack.directory / "lab"
    write(root / "live.b2nd", np.arange(10_000.0).reshape(100, 100))
    eventually(lambda: b"live.b2nd" in shared_stack.get("api/list/lab"))
    plot = Plotted(visit, "live", "&aspect=fill&zoom=20,60,30,70")
    expect(plot.page.locator("body")).to_have_attribute("data-stream", "up")
    assert plot.data("max") == "9999"
    write(root / "live.b2nd", np.arange(10_000.0).reshape(100, 100) * 2)
    plot.has("max", "19998")
    assert plot.query()["zoom"] == "20,60,30,70"
    write(root / "live.b2nd", np.arange(10.0))  # another array, which has a plot of its own
    plot.has("shape", "10")


def test_without_scripts_a_plot_is_a_picture_and_text_has_none(shared_stack: Stack) -> None:
    assert b"tab=plot" not in ask(shared_stack, "roots/lab/text.b2nd").body
    page = ask(shared_stack, "roots/lab/stack.b2nd?tab=plot&slice=9,:,:").body.decode()
    (source,) = re.findall(r'<img class="plot-picture" src="/([^"]*)"', page)
    assert "slice_=9%2C%3A%2C%3A" in source
    assert ask(shared_stack, html.unescape(source)).body.startswith(b"\x89PNG")


@pytest.mark.slow
def test_without_a_script_or_webgl_there_is_a_picture(
    browser: Browser, shared_stack: Stack, visit: Visit
) -> None:
    with Visit.begun(browser, shared_stack.url, java_script_enabled=False) as plain:
        page = plain.go("/roots/lab/stack.b2nd?tab=plot&slice=9,:,:&map=gray")
        width = page.locator("img.plot-picture").evaluate("image => image.naturalWidth")
        assert width == 256
        page.locator("#i0").fill("12")
        page.get_by_role("button", name="Show").click()
        source = page.locator("img.plot-picture").get_attribute("src") or ""
        assert "slice_=12%2C%3A%2C%3A" in source
    visit.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    page = visit.go("/roots/lab/stack.b2nd?tab=plot")
    page.locator('[data-axis="0"] input[type=number]').fill("5")
    from playwright.sync_api import expect

    expect(page.locator("img.plot-picture")).to_have_attribute("src", re.compile("slice_=5%2C"))


def test_before_much_is_read_it_is_said_and_can_be_left(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit.page
    plant(page, ask=100, askValues=100)
    page.goto("/roots/lab/stack.b2nd?tab=plot")
    question = page.locator("#plot-ask")
    expect(question).to_be_visible()
    assert "1 chunk" in question.inner_text()
    assert not [url for url in visit.requests if "/api/overview/" in url]
    question.get_by_text("Read it").click()
    expect(page.locator("#plot")).to_have_attribute("data-state", "ready")


@pytest.mark.slow
def test_a_plot_begins_with_a_sample_and_can_be_cancelled(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit.page
    plant(page, askValues=1e12, chunksize=1e9)
    page.route("**/api/overview/**", lambda _: None)  # the answer does not come
    page.goto("/roots/lab/stack.b2nd?tab=plot")
    cancel = page.locator("#plot-wait").get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    asked = [url for url in visit.requests if "/api/overview/" in url]
    assert asked and all("exact=0" in url for url in asked)
    page.keyboard.press("Escape")
    expect(page.get_by_text("you cancelled it")).to_be_visible()
    page.locator("#i0").fill("5")
    cancel.click()
    expect(page.locator("#plot-wait")).to_be_hidden()
    expect(page.get_by_text("you cancelled it")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_tab_is_accessible(browser: Browser, shared_stack: Stack, width: int) -> None:
    scheme = "light" if width > 1000 else "dark"
    view = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with Visit.begun(browser, shared_stack.url, **view) as visit:
        Plotted(visit, "stack", "&pick=100,100")
        visit.check_shown()
