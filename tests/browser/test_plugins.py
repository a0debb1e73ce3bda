"""Plugins of the web client: tomography, and a tab of another package"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest

from caterva2.cli import children
from tests.browser.visits import Visit
from tests.conftest import Stack
from tests.web.asking import ask

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOP = Path(__file__).parents[2]
SKY = {"telescope": "the <b>great</b> one"}


def install(site: Path) -> None:
    """Install the package of docs/web-plugins.md in a directory."""
    text = (TOP / "docs" / "web-plugins.md").read_text()
    for name, _, code in re.findall(
        r"^`(\S+)`:\n\n```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    (project,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    facts = site / "skytab-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: skytab\nVersion: 1.0\n")
    groups = tomllib.loads(project)["project"]["entry-points"]
    points = [
        f"[{group}]\n{name} = {value}\n"
        for group, of in groups.items()
        for name, value in of.items()
    ]
    points.append("broken = skytab:nothing\nwrong = skytab:matches\n")
    (facts / "entry_points.txt").write_text("".join(points))


def write_arrays(root: Path) -> None:
    z, y, x = np.mgrid[:20, :30, :40]
    arrays = {
        "stack": (z * 10 + y + x).astype("u2"),
        "colours": np.stack([z, y, x], -1).astype("u1"),
        "picture": np.zeros((20, 30, 3), "u1"),
        "plane": np.zeros((20, 30)),
    }
    for name, values in arrays.items():
        blosc2.asarray(values, urlpath=str(root / f"{name}.b2nd"), mode="w")
    sky = blosc2.asarray(np.eye(8), urlpath=str(root / "sky.b2nd"), mode="w")
    sky.schunk.vlmeta["telescope"] = SKY["telescope"]


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    site, root = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("arrays")
    install(site)
    write_arrays(root)
    made = Stack(tmp_path_factory.mktemp("stack"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(site), os.environ.get("PYTHONPATH", ""))))
        try:
            made.start_broker()
            made.start_publisher("lab", root)
            made.spawn_process = children.spawn  # of a Python that sees the package
            made.start_subscriber()
            made.subscribe("lab")
            yield made
        finally:
            made.stop_all()


def tabs(stack: Stack, name: str) -> str:
    page = ask(stack, f"roots/lab/{name}.b2nd", Accept="text/html").body.decode()
    return page.partition('class="tabs"')[2].partition("</nav>")[0]


def test_a_tab_of_another_package_is_shown_where_it_fits(visit: Visit, shared_stack: Stack) -> None:
    from playwright.sync_api import expect

    assert "Sky" not in tabs(shared_stack, "plane")
    page = visit.go("/roots/lab/sky.b2nd")
    page.get_by_role("link", name="Sky").click()
    expect(page.locator(".sky-values")).to_have_text("from 0 to 1, mean 0.125")
    assert page.get_by_role("heading", level=2).inner_text() == f"Seen by {SKY['telescope']}"
    widths = page.locator(".sky img").evaluate_all("all => all.map(image => image.naturalWidth)")
    assert widths == [8, 8, 8]
    size = page.locator(".sky img").first.bounding_box()
    assert size and size["width"] == 256  # by its style sheet


def test_a_plugin_that_cannot_be_loaded_is_named_in_the_log(shared_stack: Stack) -> None:
    ask(shared_stack, "about", Accept="text/html")
    log = shared_stack.log("sub")
    assert "the plugin skytab:nothing of the pages can't be loaded" in log
    assert "the plugin skytab:matches of the pages is left out: it is no" in log


def test_tomography_is_for_stacks(shared_stack: Stack) -> None:
    names = ("stack", "colours", "picture", "plane")
    assert [name for name in names if "Tomography" in tabs(shared_stack, name)] == [
        "stack", "colours",
    ]  # fmt: skip


def cuts(visit: Visit) -> list[str]:
    found: list[str] = visit.page.locator(".cut").evaluate_all(
        "all => all.map(cut => cut.dataset.slice)"
    )
    return found


def test_sliders_and_clicks_move_the_three_cuts_and_their_brightness(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit.go("/roots/lab/stack.b2nd?tab=tomography")
    assert cuts(visit) == ["10,:,:", ":,15,:", ":,:,20"]
    sizes = page.locator(".cut img").evaluate_all(
        "all => all.map(one => [one.naturalWidth, one.naturalHeight])"
    )
    assert sizes == [[40, 30], [40, 20], [30, 20]]
    page.get_by_role("slider", name="Place along axis 0").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".cut").first).to_have_attribute("data-slice", "11,:,:")
    assert "i0=11" in page.url
    box = page.locator(".cut-plane").first.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.26, box["y"] + box["height"] * 0.51)
    expect(page.locator(".cut").nth(2)).to_have_attribute("data-slice", ":,:,10")
    assert cuts(visit) == ["11,:,:", ":,15,:", ":,:,10"]
    page.go_back()
    expect(page.locator(".cut").nth(2)).to_have_attribute("data-slice", ":,:,20")
    # All have the contrast of the whole stack.
    level = page.get_by_role("slider", name="Brightness")
    expect(level).to_be_visible()
    level.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Darkest")).not_to_have_value("")
    darkest = page.get_by_label("Darkest").input_value()
    for image in page.locator(".cut img").all():
        expect(image).to_have_attribute("src", re.compile(f"lo={darkest}&hi="))


@pytest.mark.parametrize("name", ["stack", pytest.param("colours", marks=pytest.mark.slow)])
def test_without_scripts_the_cuts_are_pictures(
    browser: Browser, shared_stack: Stack, name: str
) -> None:
    with Visit.begun(browser, shared_stack.url, java_script_enabled=False) as visit:
        page = visit.go(f"/roots/lab/{name}.b2nd?tab=tomography&i1=3")
        sizes = page.locator(".cut img").evaluate_all("all => all.map(one => one.naturalWidth)")
        assert sizes == [40, 40, 30]
        page.get_by_role("button", name="Show").click()
        assert "i1=3" in page.url


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
@pytest.mark.slow
def test_tomography_is_accessible(
    browser: Browser, shared_stack: Stack, scheme: str, width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    view = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with Visit.begun(browser, shared_stack.url, **view) as visit:
        page = visit.go("/roots/lab/stack.b2nd?tab=tomography")
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
