"""Pages follow what changes, with one stream of events for all tabs of a browser"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

from tests.browser.visits import Visit
from tests.conftest import Stack, eventually
from tests.web.asking import ask

VALUES = np.arange(6, dtype="i4").reshape(2, 3)


def write(path: Path, values: np.ndarray) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(blosc2.asarray(values).to_cframe())
    new.rename(path)


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("live"))
    try:
        (made.directory / "root").mkdir()
        write(made.directory / "root/a.b2nd", VALUES)
        made.start(v=made.directory / "root")
        yield made
    finally:
        made.stop_all()


def test_values_and_lists_follow_changes_of_files(visit: Visit, shared_stack: Stack) -> None:
    from playwright.sync_api import expect

    root = shared_stack.directory / "root"
    page = visit.live("/roots/v/a.b2nd?tab=data&slice=1,:")
    expect(page.locator("#cells tbody td").first).to_have_text("3")
    page.get_by_text("Use this slice elsewhere").click()
    write(root / "a.b2nd", VALUES + 100)
    expect(page.locator("#cells tbody td").first).to_have_text("103")
    expect(page.locator("#code-python")).to_be_visible()
    assert "slice=1" in page.url

    page = visit.live("/roots/v")
    expect(page.locator(".list tbody tr")).to_have_count(1)
    write(root / "b.b2nd", VALUES)
    expect(page.locator(".list tbody tr")).to_have_count(2)
    page.get_by_role("link", name="b.b2nd").focus()
    (root / "a.b2nd").unlink()
    expect(page.locator(".list tbody tr")).to_have_count(1)
    assert page.evaluate("document.activeElement.textContent") == "b.b2nd"
    write(root / "a.b2nd", VALUES)
    expect(page.locator(".list tbody tr")).to_have_count(2)


@pytest.mark.parametrize("page_of", ["dataset", pytest.param("directory", marks=pytest.mark.slow)])
def test_a_change_before_the_stream_is_open_is_seen(
    visit: Visit, shared_stack: Stack, page_of: str
) -> None:
    from playwright.sync_api import Route, expect

    path = shared_stack.directory / f"root/{page_of}/early.b2nd"
    path.parent.mkdir()
    write(path, VALUES)
    eventually(lambda: known(shared_stack, path))

    def answer(route: Route) -> None:
        made = route.fetch()  # the page as it is before the change
        before = known(shared_stack, path)
        write(path, VALUES + 7)
        write(path.with_name("late.b2nd"), VALUES)
        eventually(lambda: known(shared_stack, path) != before)
        eventually(lambda: known(shared_stack, path.with_name("late.b2nd")))
        assert "late.b2nd" not in made.text()
        route.fulfill(response=made)

    address = f"/roots/v/{page_of}" + ("/early.b2nd?tab=data" if page_of == "dataset" else "")
    visit.page.route(f"**{address}", answer, times=1)
    page = visit.go(address)
    shown = "#cells tbody td >> nth=0" if page_of == "dataset" else ".list tbody tr >> nth=1"
    expect(page.locator(shown)).to_contain_text("7" if page_of == "dataset" else "late.b2nd")


@pytest.mark.slow
def test_a_change_is_shown_within_two_seconds(visit: Visit, shared_stack: Stack) -> None:
    from playwright.sync_api import expect

    path = shared_stack.directory / "root/quick.b2nd"
    write(path, VALUES)
    eventually(lambda: "quick.b2nd" in shared_stack.client.get_list("v"))
    page = visit.live("/roots/v/quick.b2nd?tab=data&slice=1,:")
    taken = []
    for n in range(1, 6):
        begin = time.monotonic()
        write(path, VALUES + 100 * n)
        expect(page.locator("#cells tbody td").first).to_have_text(str(100 * n + 3))
        taken.append(time.monotonic() - begin)
    assert min(taken) < 2, taken


def known(stack: Stack, path: Path) -> str:
    """Return the version of a dataset that the subscriber knows; empty if it knows none."""
    answer = ask(stack, f"api/info/v/{path.parent.name}/{path.name}")
    return str(answer.json["etag"]) if answer.status == 200 else ""


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_tabs_share_one_stream_and_all_answer(
    visit: Visit, shared_stack: Stack, count: int
) -> None:
    from playwright.sync_api import expect

    tabs = [visit.page.context.new_page() for _ in range(count)]
    for tab in tabs:
        tab.goto("/roots/v/a.b2nd?tab=data")
    assert shared_stack.metric("event_listeners") == 1
    for tab in tabs:
        tab.get_by_role("link", name="Info").click()
        expect(tab.get_by_text("Storage")).to_be_visible()


def test_a_publisher_that_goes_away_is_a_note_and_a_server_that_ends_a_banner(
    visit: Visit, shared_stack: Stack
) -> None:
    from playwright.sync_api import expect

    values = "roots/v/a.b2nd?tab=data"
    before = ask(shared_stack, values, Accept="text/html").body
    page = visit.live("/roots/v/a.b2nd")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    shared_stack.stop("pub-v")
    expect(page.get_by_text("The publisher is offline")).to_be_visible()
    cells = re.compile(rb"<td[^>]*>.*?</td>")
    after = ask(shared_stack, values, Accept="text/html").body
    assert cells.findall(after) == cells.findall(before) != []
    visit.live("/")
    expect(page.get_by_text("offline", exact=True)).to_be_visible()
    shared_stack.stop("sub")
    expect(page.get_by_text("The server can't be reached")).to_be_visible()
    visit.trouble.clear()  # the browser notes that the stream was refused
