"""Pages are for everybody: rules of accessibility, small screens, keys alone, many datasets"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import pytest

from caterva2.pages import rendering
from caterva2.pages.assets import Assets
from caterva2.pages.display.highlight import highlighted
from tests.browser.visits import Visit
from tests.conftest import Stack, example_root
from tests.thoroughness import thorough
from tests.web.asking import ask

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VALUES = "/roots/foo/dir2/ds-4d.b2nd?tab=data"
PAGES = (
    "/roots/foo", VALUES, "/", "/roots/no", "/roots/foo/ds-sc-attr.b2nd", "/roots/foo/README.md",
    "/about", "/status", "/compute", "/search?q=ds-2d&ndim=2",
)  # fmt: skip
SCREENS = {
    "light-1280": ("light", 1280, ("/components", *PAGES) if thorough() else (VALUES,)),
    "dark-390": ("dark", 390, ("/components", *(PAGES[:1] if thorough() else ()))),
    "light-320": ("light", 320, ("/components", "/", "/compute")),
}
"""Scheme, width and pages. `/components` has all components, of which all pages are made."""
MANY = 1200
DESCRIBED = 100
"""Datasets that one search describes; the others are described in the background."""


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("people"))
    made.configure(f"[limits.web]\nsearch_described = {DESCRIBED}\n")
    try:
        for n in range(MANY):
            directory = made.directory / "many" / f"run{n % 300:03}"
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"ds{n:04}.txt").write_text("x")
        made.start(foo=example_root(), many=made.directory / "many")
        yield made
    finally:
        made.stop_all()


def components() -> str:
    """A page of all components in all states."""
    environment = rendering.Renderer(Assets(), {})._templates
    own = jinja2.FileSystemLoader([rendering.TEMPLATES, Path(__file__).parent])
    given = {
        "user": None, "accounts": False, "registering": False, "here": "/", "asked": "",
        "revision": "", "writing": True,
        "code": highlighted("import x  # 1\nx = 'a' + 2.5\n", "python"),
    }  # fmt: skip
    return environment.overlay(loader=own).get_template("components.html").render(given)


@pytest.mark.parametrize(
    "screen", ["light-1280", "dark-390", pytest.param("light-320", marks=pytest.mark.slow)]
)
def test_pages_obey_the_rules_of_accessibility_and_fit_on_the_screen(
    browser: Browser, shared_stack: Stack, screen: str, tmp_path: Path
) -> None:
    scheme, width, paths = SCREENS[screen]
    size = {"width": width, "height": 800}
    context = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    with Visit.begun(browser, shared_stack.url, **context) as visit:
        page = visit.page
        headers = {"Content-Security-Policy": rendering.CSP, "Content-Type": "text/html"}
        page.route("**/components", lambda route: route.fulfill(body=components(), headers=headers))
        for path in paths:
            visit.check(path)
            if path == "/components":
                page.screenshot(path=tmp_path / f"{screen}.png", full_page=True)


def test_one_gets_from_the_search_to_values_by_keys_alone(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit.go("/")
    page.keyboard.press("/")
    page.keyboard.type("DIR2 4d")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=*")
    expect(page.get_by_role("status").first).to_have_text("1 dataset")
    press_until(visit, "ds-4d.b2nd")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ds-4d.b2nd")
    press_until(visit, "Data")
    page.keyboard.press("Enter")
    page.wait_for_url("**tab=data")
    press_until(visit, "axis 0")
    page.keyboard.press("End")
    expect(page.locator("#cells td").nth(1)).to_have_text("(60+60j)")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "find"


@pytest.mark.slow
def test_a_finger_moves_sliders_and_plots(browser: Browser, shared_stack: Stack) -> None:
    from playwright.sync_api import expect

    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with Visit.begun(browser, shared_stack.url, **phone) as visit:
        page = visit.go("/roots/foo/dir1/ds-3d.b2nd?tab=plot")
        plot = page.locator("#plot")
        expect(plot).to_have_attribute("data-state", "ready")
        slider = page.locator(".plot-axis input[type=range]").first
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box and box["height"] >= 44 and box["width"] >= 300
        page.touchscreen.tap(box["x"] + box["width"] * 0.97, box["y"] + box["height"] / 2)
        expect(plot).to_have_attribute("data-slice", "2,:,:")
        expect(plot).to_have_attribute("data-state", "ready")
        canvas = plot.locator("canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_url("**pick=**")
        expect(page.locator("[data-line]")).to_have_attribute("data-state", "ready")
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(over) <= 0


def test_the_tree_of_files_is_walked_by_keys(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit.go("/roots/many/run299/ds0299.txt")
    tree = page.get_by_role("tree", name="Files")
    here = tree.get_by_role("treeitem", name="ds0299.txt")
    expect(here).to_have_attribute("aria-current", "page")
    expect(here).to_be_in_viewport()
    here.focus()
    for key, name in (
        ("ArrowLeft", "run299"), ("Home", "…"), ("End", "all 300"), ("ArrowUp", "ds1199.txt"),
        ("ArrowLeft", "run299"),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.textContent") == name
    page.keyboard.press("ArrowLeft")
    expect(here).to_have_count(0)
    page.keyboard.press("ArrowRight")
    expect(here).to_have_count(1)
    assert page.evaluate("document.querySelectorAll('.tree [tabindex=\"0\"]').length") == 1


@pytest.mark.slow
def test_the_tree_of_files_stays_small(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit.go("/roots/many")
    tree = page.get_by_role("tree", name="Files")
    for n in range(60):
        tree.get_by_role("treeitem", name=f"run{n:03}").locator(".twist").dispatch_event("click")
    expect(tree.get_by_role("treeitem", name="ds0059.txt")).to_have_count(1)
    assert page.evaluate("document.querySelectorAll('*').length") < 2000
    tree.get_by_role("treeitem", name="run059").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**/roots/many/run059/ds0059.txt")


def test_a_search_that_describes_many_datasets_says_how_far_it_is(visit: Visit) -> None:
    from playwright.sync_api import expect

    with visit.page.expect_response("**/search?*") as first:
        page = visit.go("/search?q=ds&ndim=1&attr=no")
    value = re.search(r'<progress[^>]* value="(\d+)"', first.value.text())
    assert value
    assert int(value[1]) < MANY
    far = page.get_by_role("progressbar")
    expect(page.locator(".head [role=status]")).to_have_text("0 datasets")
    expect(far).to_have_count(0)
    assert sum("/search?" in url for url in visit.requests) < MANY / DESCRIBED / 2


def press_until(visit: Visit, name: str) -> None:
    """Press Tab until what has the focus has a name; the focus is seen at each stop."""
    label = "(e => e.getAttribute('aria-label') || e.textContent.trim())(document.activeElement)"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        if str(visit.page.evaluate(label)).endswith(name):
            assert visit.page.evaluate(outline) != "none"
            return
    pytest.fail(f"{name} is not reached")


def test_a_page_of_many_datasets_has_the_first_ones(shared_stack: Stack) -> None:
    page = ask(shared_stack, "roots/many", Accept="text/html").body.decode()
    assert 100 < page.count("<tr") <= 101
    assert f"{MANY:,}".replace(",", "\u202f") in page
    last = ask(shared_stack, "roots/many?page=3", Accept="text/html").body.decode()
    assert re.findall(r'href="/roots/many/(run\d+)"', last)[-1] == "run299"


@pytest.mark.slow
def test_a_page_of_many_datasets_is_small(visit: Visit) -> None:
    page = visit.go("/roots/many")
    assert page.locator(".list tbody tr").count() == 100
    assert f"{MANY:,}".replace(",", "\u202f") in visit.text(".facts")
    assert len(visit.requests) <= 15
    assert visit.received <= 300_000
    assert page.evaluate("document.querySelectorAll('*').length") < 2000
    page.get_by_role("link", name="Next").click()
    page.get_by_role("link", name="Next").click()
    assert page.locator(".list .name a").last.inner_text() == "run299"
    page.get_by_role("link", name="run299").click()
    assert page.locator(".list tbody tr").count() == MANY // 300
