"""Uploads from pages: progress, and files that go on where something interrupted them"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from caterva2.limits import DEFAULTS
from tests.browser.visits import Visit
from tests.conftest import eventually
from tests.web.asking import ask
from tests.web.places import NAMES, WORD, Places, places_that_restart, start_without_broker

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MB = 2**20
PIECE = DEFAULTS.special.upload_piece
EXPECTED = ("net::ERR_", "status of 503", "status of 507", "503: ", "507: ")
"""What the browser notes of connections that a test ended, and of a server that is busy or full."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """A subscriber with a quota, at an address that it keeps when it starts again."""
    with places_that_restart(tmp_path_factory.mktemp("uploads"), "64MiB") as made:
        yield made


@pytest.fixture
def visit(browser: Browser, places: Places) -> Iterator[Visit]:
    """A page with the files of a user; what was uploaded is removed in the end."""
    with Visit.begun(browser, places.stack.url) as made:
        be_logged_in(made.page, places)
        made.go("/roots/@personal")
        yield made
        made.trouble[:] = [one for one in made.trouble if not any(e in one for e in EXPECTED)]
    places.post("ann", "api/remove/@personal")
    ask(places.stack, "api/trash", "DELETE", **places.cookie("ann"))


def be_logged_in(page: Page, places: Places) -> None:
    """Have the session of a user, without the pages of a login."""
    name, _, value = places.cookie("ann")["Cookie"].partition("=")
    page.context.add_cookies([{"name": name, "value": value, "url": places.stack.url}])


def log_in(page: Page) -> None:
    page.goto("/login?next=/roots/@personal")
    page.get_by_label("Address").fill(NAMES["ann"])
    page.get_by_label("Password", exact=True).fill(WORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/roots/@personal*")


def made_file(directory: Path, size: int) -> Path:
    file = directory / "large.bin"
    file.write_bytes(np.random.default_rng(size).bytes(size))
    return file


def slow_down(page: Page, rate: int) -> None:
    """Let a page send only so many bytes a second."""
    session = page.context.new_cdp_session(page)
    given = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
    session.send("Network.emulateNetworkConditions", given)


def choose(page: Page, file: Path) -> None:
    page.get_by_label("choose files").set_input_files(file)


def arrived(places: Places) -> int:
    """Wait until a part of an upload is on the disk, and return the bytes that arrived."""

    def offset() -> int:
        items = places.get("ann", "api/uploads").json["items"]
        # What arrives is counted before it is written: of two pieces the first one is there.
        return items[0]["offset"] if items and items[0]["offset"] > PIECE else 0

    return eventually(offset)


def drop(page: Page, paths: list[Path]) -> None:
    """Drop files and directories on the place for uploads, as a file manager does."""
    area = page.locator("[data-upload]").bounding_box()
    assert area
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    place = {"x": area["x"] + 20, "y": area["y"] + 10, "data": data}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind} | place)


def expect_done(page: Page, state: str = "true") -> None:
    from playwright.sync_api import expect

    expect(page.locator("[data-upload]")).to_have_attribute("data-done", state)


class Sent:
    """The offsets at which a page begins to send."""

    def __init__(self, page: Page) -> None:
        self.offsets: list[int] = []
        page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if request.method == "PATCH":
            self.offsets.append(int(request.headers["upload-offset"]))


def check_stored(places: Places, file: Path) -> None:
    assert places.get("ann", f"api/download/@personal/{file.name}").body == file.read_bytes()
    assert places.get("ann", "api/uploads").json == {"items": []}


@pytest.mark.slow  # each day over HTTP; pages send again what was lost
@pytest.mark.parametrize("size", [2 * MB, 50 * MB])
def test_an_upload_goes_on_when_the_server_was_killed(
    visit: Visit, places: Places, tmp_path: Path, size: int
) -> None:
    file, page, stack = made_file(tmp_path, size), visit.page, places.stack
    sent = Sent(page)
    slow_down(page, size // 2)
    choose(page, file)
    arrived(places)
    address = stack.url.removeprefix("http://")
    stack.kill("sub")
    start_without_broker(stack, address)
    expect_done(page)
    check_stored(places, file)
    assert sent.offsets[0] == 0
    assert all(sent.offsets[1:])


@pytest.mark.slow
def test_a_page_that_was_loaded_again_goes_on_and_so_does_another_tab(
    visit: Visit, places: Places, tmp_path: Path
) -> None:
    file, page = made_file(tmp_path, 2 * MB), visit.page
    slow_down(page, MB)
    choose(page, file)
    arrived(places)
    page.reload()
    other = page.context.new_page()
    other.goto("/roots/@personal")
    sent = [Sent(page), Sent(other)]
    choose(page, file)
    choose(other, file)
    expect_done(page)
    expect_done(other)
    check_stored(places, file)
    offsets = [offset for one in sent for offset in one.offsets]
    assert offsets
    assert all(offsets)
    other.close()


@pytest.mark.slow
def test_a_session_that_ended_says_so_and_the_upload_goes_on_after_a_login(
    visit: Visit, places: Places, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    file, page = made_file(tmp_path, 2 * MB), visit.page
    slow_down(page, MB)
    choose(page, file)
    arrived(places)
    stack, address = places.stack, places.stack.url.removeprefix("http://")
    stack.kill("sub")
    page.context.clear_cookies()
    start_without_broker(stack, address)
    expect_done(page, "false")
    expect(page.locator("[data-upload] ol")).to_contain_text("log in, and choose the file again")
    log_in(page)
    sent = Sent(page)
    choose(page, file)
    expect_done(page)
    check_stored(places, file)
    assert sent.offsets
    assert all(sent.offsets)


@pytest.mark.slow
def test_a_full_quota_is_said_and_the_upload_goes_on_when_there_is_room(
    visit: Visit, places: Places, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    file, page = made_file(tmp_path, 2 * MB), visit.page
    slow_down(page, MB // 2)
    choose(page, file)
    arrived(places)
    filling = places.stack.directory / "sub/spaces/public/filling.bin"
    filling.touch()
    os.truncate(filling, 63 * MB)  # of another program
    expect_done(page, "false")
    expect(page.locator("[data-upload] ol")).to_contain_text("quota limit has been exceeded")
    filling.unlink()
    eventually(lambda: places.get("ann", "api/me").json["quota"]["used"] < 10 * MB)
    sent = Sent(page)
    choose(page, file)
    expect_done(page)
    check_stored(places, file)
    assert all(sent.offsets)


def test_unfinished_uploads_are_listed_and_go_on_or_are_discarded(
    visit: Visit, places: Places, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    file, page = made_file(tmp_path, 2 * MB), visit.page
    plan = {"path": "@personal/dir/of a program.bin", "size": 9}
    assert places.post("ann", "api/uploads", plan).status == 200
    slow_down(page, MB)
    choose(page, file)
    arrived(places)
    page.reload()
    rows = page.get_by_role("region", name="Unfinished uploads").locator("tbody tr")
    eventually(lambda: page.reload() and rows.count() == 2)
    sent = Sent(page)
    again = page.get_by_label("Go on with large.bin")
    other = tmp_path / "other.bin"
    other.write_bytes(b"x" * 2 * MB)
    again.set_input_files(other)
    expect(page.locator("[data-upload] ol")).to_contain_text("other.bin is another file")
    again.set_input_files(file)
    expect_done(page)
    expect(rows).to_have_count(1)
    assert places.get("ann", "api/download/@personal/large.bin").body == file.read_bytes()
    assert sent.offsets
    assert all(sent.offsets)
    visit.go("/roots/@personal")
    expect(page.get_by_label("Go on with dir/of a program.bin")).to_have_count(0)
    page.get_by_role("button", name="Discard dir/of a program.bin").click()
    expect(rows).to_have_count(0)
    assert places.get("ann", "api/uploads").json == {"items": []}


def test_directories_are_dropped_or_chosen(visit: Visit, places: Places, tmp_path: Path) -> None:
    page, top = visit.page, tmp_path / "top"
    for name in ("a.txt", "in/b.txt", "in/deep/c d.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    drop(page, [top, top / "a.txt"])
    expect_done(page)
    names = ["a.txt", "top/a.txt", "top/in/b.txt", "top/in/deep/c d.txt"]
    assert places.get("ann", "api/list/@personal").json == names
    (top / "in").rename(top / "other")
    page.get_by_label("choose a directory").set_input_files(top)
    expect_done(page)
    names[3:] += ["top/other/b.txt", "top/other/deep/c d.txt"]
    assert places.get("ann", "api/list/@personal").json == names
    body = places.get("ann", "api/download/@personal/top/other/deep/c%20d.txt").body
    assert body == b"in/deep/c d.txt"


def test_a_small_file_is_sent_again_when_the_connection_is_lost(
    visit: Visit, places: Places, tmp_path: Path
) -> None:
    file, page = made_file(tmp_path, 100_000), visit.page
    lost = []

    def lose(route: Any) -> None:
        if len(lost) < 2:
            lost.append(route)
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/upload/**", lose)
    choose(page, file)
    expect_done(page)
    assert len(lost) == 2
    check_stored(places, file)
