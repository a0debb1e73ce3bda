"""The tab with the values of a dataset: cells, planes, windows, links and code"""

from __future__ import annotations

import contextlib
import html
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import gallery
from tests.browser.gallery import ARRAYS
from tests.browser.visits import Visit
from tests.conftest import Stack
from tests.contract.commands import commands
from tests.thoroughness import some
from tests.web.asking import ask


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("gallery"))
    try:
        gallery.write(made.directory / "root")
        made.start(g=made.directory / "root")
        yield made
    finally:
        made.stop_all()


def page_of(stack: Stack, name: str, query: str = "", status: int = 200) -> str:
    answer = ask(stack, f"roots/g/{name}.b2nd?tab=data{query}", Accept="text/html")
    assert answer.status == status
    return answer.body.decode()


def cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", page)
    return [[html.unescape(one) for one in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def shown(value: Any) -> str:
    return repr(bytes(value)) if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("name", gallery.TYPED)
def test_a_cell_is_what_numpy_writes(shared_stack: Stack, name: str) -> None:
    found = cells(page_of(shared_stack, name))
    assert found == [[shown(value)] for value in ARRAYS[name]]


def test_a_single_item_is_a_table_of_one_cell(shared_stack: Stack) -> None:
    assert cells(page_of(shared_stack, "one")) == [["7.25"]]


def test_an_array_without_items_has_no_such_tab(shared_stack: Stack) -> None:
    assert "tab=data" not in ask(shared_stack, "roots/g/none.b2nd").body.decode()
    assert "none of info" in page_of(shared_stack, "none", status=400)


def test_before_much_is_read_there_is_a_question(shared_stack: Stack) -> None:
    before = shared_stack.metric("fetched_bytes_total")
    page = page_of(shared_stack, "large", "&slice=3,:")
    assert "This reads up to 71.3 MB" in page
    assert cells(page) == []
    assert shared_stack.metric("fetched_bytes_total") == before


@pytest.mark.slow  # each day a plot is left and read
def test_before_much_is_read_the_reader_is_asked(visit: Visit, shared_stack: Stack) -> None:
    from playwright.sync_api import expect

    before = shared_stack.metric("fetched_bytes_total")
    page = visit.go("/roots/g/large.b2nd?tab=data&slice=3,:")
    question = page.locator("#window")
    expect(question).to_contain_text("This reads up to 71.3 MB")
    expect(question).to_contain_text("1 chunk, as far as this server does not have them")
    assert page.locator("#cells td").count() == 0
    assert shared_stack.metric("fetched_bytes_total") == before
    question.get_by_role("link", name="Read it").click()
    expect(page.locator("#cells td").first).to_be_visible()
    assert "read" not in page.url


def test_records_have_a_column_for_each_field(shared_stack: Stack) -> None:
    page = page_of(shared_stack, "records", "&row=150")
    assert cells(page)[:2] == [
        ["150", "n150", "(37.5, -150.0)"],
        ["151", "n151", "(37.75, -151.0)"],
    ]
    assert cells(page_of(shared_stack, "records", "&field=at.x&slice=4:6")) == [["1.0"], ["1.25"]]


def test_records_are_sorted_and_filtered(shared_stack: Stack) -> None:
    page = page_of(shared_stack, "records", "&filter=n%3C5%20%26%20n%3E1&sort=-n")
    assert [row[0] for row in cells(page)] == ["4", "3", "2"]
    assert 'aria-sort="descending"' in page
    assert "rows 0–2 of 3" in page
    assert "no rows match" in page_of(shared_stack, "records", "&filter=n%3E999")
    assert "nope" in page_of(shared_stack, "records", "&sort=nope", 400)
    assert page_of(shared_stack, "records", "&filter=n%20%3C%3C", 400).count("note bad") == 1
    second = page_of(shared_stack, "records", "&sort=-n&row=50&slice=100:")
    assert cells(second)[0][:2] == ["149", "n149"]
    assert '<th scope="row">149</th>' in second


def test_a_window_is_a_part_of_a_plane(shared_stack: Stack) -> None:
    values = ARRAYS["five"]
    for query, expected in (
        ("", values[0, 0, 0, :50, :20]),
        ("&slice=2,1,4,:,:&row=55&col=25", values[2, 1, 4, 55:, 25:]),
        ("&slice=1,:,4,3,10:20:3", values[1, :, 4, 3, 10:20:3]),
        ("&slice=1,2,3,:,:&y=4&x=1", values[1, :, 3, 0, :].T),
        ("&slice=1,2,3,4,:", values[1, 2, 3, 4, :, None]),
        ("&slice=-1,-1,-1,::-1,:5", values[-1, -1, -1, :9:-1, :5]),
    ):
        found = cells(page_of(shared_stack, "five", query))
        assert found == [[str(value) for value in row] for row in expected], query


def test_a_form_leads_to_the_address_of_its_plane(shared_stack: Stack) -> None:
    query = "go=1&tab=data&slice=0,0,0,:,:&y=3&x=4&i0=2&i1=&i2=99"
    answer = ask(shared_stack, f"roots/g/five.b2nd?{query}")
    assert answer.status == 303
    assert answer.headers["location"].endswith("?tab=data&slice=2%2C0%2C4%2C%3A%2C%3A")


@pytest.mark.parametrize("query", ["slice=1,2", "slice=x", "slice=9,0,0,:,:", "i0=-1", "y=1e9"])
def test_a_plane_that_is_not_there_is_said_to_be_none(shared_stack: Stack, query: str) -> None:
    page = ask(shared_stack, f"roots/g/five.b2nd?tab=data&{query}")
    assert page.status in ((200, 400) if query == "slice=1,2" else (400,))
    assert page.body.decode().startswith("<!doctype html>")


def test_sixteen_axes_have_sliders(shared_stack: Stack) -> None:
    page = page_of(shared_stack, "deep", "&slice=" + ",".join(["1"] * 14 + [":", ":"]))
    assert page.count('type="range"') == 14
    assert cells(page) == [["65532", "65533"], ["65534", "65535"]]


def test_only_what_is_shown_is_read(shared_stack: Stack) -> None:
    before = ask(shared_stack, "api/info/g/five.b2nd").json
    page_of(shared_stack, "five", "&slice=1,1,1,:,:")
    after = ask(shared_stack, "api/info/g/five.b2nd").json
    touched = np.prod(
        [1, 1, 1] + [-(-n // c) for n, c in zip((50, 20), before["chunks"][3:], strict=True)]
    )
    assert after["cached"]["nchunks"] - before["cached"]["nchunks"] <= touched


def test_links_give_the_plane_that_is_shown(shared_stack: Stack) -> None:
    page = page_of(shared_stack, "five", "&slice=1,2,3,:,::2")
    links = [html.unescape(one) for one in re.findall(r'href="(/api/fetch[^"]*)" download', page)]
    links += re.findall(r'href="(/api/image[^"]*)" download', page)
    csv, npy, png = (ask(shared_stack, html.unescape(link[1:])).body for link in links)
    expected = ARRAYS["five"][1, 2, 3, :, ::2]
    assert np.array_equal(np.load(io.BytesIO(npy)), expected)
    assert png.startswith(b"\x89PNG")
    assert csv.decode().splitlines()[-1] == ",".join(map(str, expected[-1]))


def test_links_of_sorted_and_filtered_records_give_their_rows(shared_stack: Stack) -> None:
    values = ARRAYS["records"]
    page = page_of(shared_stack, "records", "&filter=n%3C90%20%26%20n%3E1&sort=-n&slice=50:")
    links = [html.unescape(one) for one in re.findall(r'href="(/api/table[^"]*)" download', page)]
    csv, npy = (ask(shared_stack, link[1:]).body for link in links)
    assert np.array_equal(np.load(io.BytesIO(npy)), values[50:90][::-1])
    assert [line.split(",")[0] for line in csv.decode().splitlines()[1:]] == [
        str(n) for n in range(89, 49, -1)
    ]


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Path]:
    """A directory of commands for a shell."""
    (tmp_path / "python").symlink_to(sys.executable)
    with commands(tmp_path, ["cat2cli"]):
        yield tmp_path


def test_the_code_on_the_page_reads_the_slice_that_is_shown(
    shared_stack: Stack, programs: Path
) -> None:
    cases: list[tuple[str, str, Any]] = [
        ("five", "&slice=1,2,3,4:6,::7", ARRAYS["five"][1, 2, 3, 4:6, ::7]),
        ("records", "&field=n", ARRAYS["records"]["n"]),
        ("records", "&slice=3:5&field=at.x", ARRAYS["records"]["at"]["x"][3:5]),
    ]
    for name, query, expected in some(cases, 3, 2):
        page = page_of(shared_stack, name, query)
        for tool in ("python", "xarray", "zarr"):
            values: dict[str, Any] = {}
            exec(code_for(page, tool), values)
            assert np.array_equal(np.asarray(values["values"]), expected), tool
        for tool in ("cat2cli", "curl"):
            said = shell(code_for(page, tool), shared_stack.directory, programs)
            all_fields = "all fields" in code_for(page, tool)
            assert said.strip() == str(ARRAYS[name][3:5] if all_fields else expected), tool


def code_for(page: str, tool: str) -> str:
    found = re.search(rf'<code id="code-{tool}">(.*?)</code>', page, re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]*>", "", found[1]))


def shell(code: str, directory: Path, programs: Path) -> str:
    """Run lines of a shell with the commands of these tests."""
    done = subprocess.run(
        ["bash", "-euc", code], capture_output=True, text=True, timeout=100, cwd=directory,
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sliders_change_the_plane_in_place_and_the_address_keeps_it(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit.go("/roots/g/five.b2nd?tab=data")
    first = page.locator("#cells tbody td").first
    expect(first).to_have_text("0")
    slider = page.get_by_role("slider", name="axis 0")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(first).to_have_text(str(ARRAYS["five"][1, 0, 0, 0, 0]))
    page.get_by_role("spinbutton", name="axis 2").fill("4")
    expect(first).to_have_text(str(ARRAYS["five"][1, 0, 4, 0, 0]))
    page.get_by_role("link", name="Rows after").click()
    expect(first).to_have_text(str(ARRAYS["five"][1, 0, 4, 50, 0]))
    page.get_by_role("combobox", name="Rows").select_option("axis 1")
    expect(first).to_have_text(str(ARRAYS["five"][1, 0, 4, 0, 0]))
    with contextlib.closing(page.context.new_page()) as other:
        other.goto(page.url)
        assert other.locator("#cells").inner_text() == page.locator("#cells").inner_text()
    page.go_back()
    expect(first).to_have_text(str(ARRAYS["five"][1, 0, 4, 50, 0]))


@pytest.mark.slow
def test_a_long_read_is_said_and_can_be_cancelled(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit.go("/roots/g/five.b2nd?tab=data")
    page.route("**part=window*", lambda _: None)  # the answer does not come
    index = page.get_by_role("spinbutton", name="axis 2")
    index.fill("4")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("It was not read: you cancelled it.")).to_be_visible()
    expect(page.locator("#cells tbody td").first).to_have_text("0")
    index.fill("3")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("It was not read: you cancelled it.")).to_be_visible()
    page.unroute("**part=window*")
    index.fill("2")
    expect(page.locator("#cells tbody td").first).to_have_text(str(ARRAYS["five"][0, 0, 2, 0, 0]))
    expect(page.locator("#wait")).to_be_hidden()
