"""Accounts, uploads, changes of files and expressions on pages"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.browser.visits import Visit
from tests.conftest import Stack, eventually, example_root
from tests.thoroughness import thorough
from tests.web.asking import Answer, ask

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ANN, SUPER, WORD = "ann@example.com", "super@example.com", "correct horse"


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("users"))
    made.secret = "keeps sessions"
    (made.directory / "caterva2.toml").write_text("[subscriber]\nregister = true\nmaxusers = 9\n")
    try:
        made.add_user(SUPER, WORD, "--superuser")
        made.add_user(ANN, WORD)
        made.start_services(foo=example_root())
        yield made
    finally:
        made.stop_all()


def log_in(page: Page, name: str, word: str = WORD) -> None:
    page.goto("/login?next=/account")
    page.get_by_label("Address").fill(name)
    page.get_by_label("Password", exact=True).fill(word)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/account*")


def be_logged_in(stack: Stack, page: Page, name: str) -> None:
    """Have the session that a login gives, without the pages of it."""
    form, headers = {"username": name, "password": WORD}, {"Origin": stack.url}
    assert page.request.post("/login", form=form, headers=headers, max_redirects=0).status == 303


def post(stack: Stack, path: str, form: dict[str, str], **headers: str) -> Answer:
    kind = "application/x-www-form-urlencoded"
    return ask(stack, path, "POST", urllib.parse.urlencode(form), Content_Type=kind, **headers)


def change(stack: Stack, page: Page, name: str, **form: str) -> None:
    """Send a form of the pages."""
    answer = page.request.post(f"/change/{name}", form=form, headers={"Origin": stack.url})
    assert answer.ok, answer.text()


def test_a_login_leads_back_to_a_page_of_this_site_only(shared_stack: Stack) -> None:
    form = {"username": ANN, "password": WORD}
    for asked, place in (
        ("/roots/foo?page=1", "/roots/foo?page=1"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
    ):
        answer = post(shared_stack, "login", form | {"next": asked})
        assert (answer.status, answer.headers["location"]) == (303, place)
        assert "HttpOnly" in answer.headers["set-cookie"]
    refused = post(shared_stack, "login", form | {"password": "wrong one"})
    assert refused.status == 400
    assert ANN in refused.body.decode()
    assert "The address or the password is wrong." in refused.body.decode()


def test_forms_of_other_sites_change_nothing(shared_stack: Stack) -> None:
    foreign = {"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}
    for path in (
        "login", "logout", "register", "account", "users", "users/delete", "compute",
        "change/copy", "change/move", "change/remove", "change/subscribe", "change/leave",
        "change/restore", "change/empty", "change/discard",
    ):  # fmt: skip
        answer = post(shared_stack, path, {"username": ANN, "password": WORD}, **foreign)
        assert (path, answer.status) == (path, 403)
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["account", "users", "trash"])
def test_without_a_session_one_is_asked_to_log_in(shared_stack: Stack, path: str) -> None:
    answer = ask(shared_stack, path)
    assert answer.status == 401
    assert f"/login?next=%2F{path}" in answer.body.decode()
    assert "You are not logged in" in answer.body.decode()


def test_a_form_of_a_session_that_ended_says_so(shared_stack: Stack) -> None:
    answer = post(shared_stack, "account", {"old": "a", "new": "b"}, Origin=shared_stack.url)
    assert answer.status == 401
    assert "<h1>Log in to see this</h1>" in answer.body.decode()


def test_an_account_is_made_used_and_deleted(browser: Browser, shared_stack: Stack) -> None:
    from playwright.sync_api import expect

    with Visit.begun(browser, shared_stack.url) as visit:
        page = visit.go("/register")
        page.get_by_label("Address").fill("new@example.com")
        page.get_by_label("Password").fill("long enough words")
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("link", name="new@example.com").click()
        if thorough():
            page.get_by_label("Current password").fill("not this one")
            page.get_by_label("New password").fill("other long words")
            page.get_by_role("button", name="Change password").click()
            expect(page.get_by_role("alert")).to_be_visible()
        page.get_by_label("Current password").fill("long enough words")
        page.get_by_label("New password").fill("other long words")
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_text("You have a new password")).to_be_visible()
        if thorough():  # each day below a prefix
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_role("link", name="Log in")).to_be_visible()
            log_in(page, SUPER)
        else:
            be_logged_in(shared_stack, page, SUPER)
            page.reload()
        page.get_by_role("link", name="Users").click()
        row = page.get_by_role("row", name="new@example.com")
        row.get_by_text("Delete").first.click()
        row.get_by_role("button", name="Delete new@example.com").click()
        expect(row).to_have_count(0)


@pytest.mark.slow  # each day files are dropped, moved, deleted and restored
def test_files_are_uploaded_copied_moved_and_deleted(
    browser: Browser, shared_stack: Stack, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    (tmp_path / "notes.md").write_text("# Uploaded")
    (tmp_path / "more.txt").write_text("more")
    (tmp_path / "mine.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(9))
    with Visit.begun(browser, shared_stack.url) as visit:
        page = visit.page
        be_logged_in(shared_stack, page, ANN)
        visit.go("/account")
        page.get_by_role("link", name="Your files").click()
        page.get_by_label("choose files").set_input_files(
            [tmp_path / name for name in ("notes.md", "more.txt", "mine.h5")]
        )
        expect(page.locator("[data-upload]")).to_have_attribute("data-done", "true")
        expect(page.locator(".list tbody tr")).to_have_count(3)
        opened = page.request.get("/roots/@personal/mine.h5").text()
        assert "it is damaged, or this server lacks" in opened
        page.get_by_role("link", name="notes.md", exact=True).click()
        expect(page.get_by_role("heading", name="Uploaded")).to_be_visible()
        page.get_by_text("Move…").click()
        page.get_by_label("Move to").fill("@shared/moved.md")
        page.get_by_role("button", name="Move").click()
        page.wait_for_url("**/roots/@shared/moved.md")
        page.get_by_text("Delete…").click()
        page.get_by_role("button", name="Delete").click()
        page.wait_for_url("**/roots/@shared?removed=*")
        visit.go("/roots/foo/dir1/ds-2d.b2nd")
        page.get_by_text("Copy…").click()
        page.get_by_role("button", name="Copy").click()
        page.wait_for_url("**/roots/@personal/ds-2d.b2nd")


@pytest.mark.slow
def test_an_uploaded_file_of_hdf5_opens_as_a_directory(
    browser: Browser, shared_stack: Stack, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["entry/image"] = np.arange(600.0).reshape(20, 30)
        file["line"] = np.arange(9)
    with Visit.begun(browser, shared_stack.url) as visit:
        page = visit.page
        log_in(page, SUPER)
        visit.go("/roots/@shared")
        page.get_by_label("choose files").set_input_files(tmp_path / "scan.h5")
        rows = page.locator(".list tbody")
        rows.get_by_role("link", name="scan.h5").click()
        expect(page.locator(".tree").get_by_role("treeitem", name="scan.h5")).to_have_count(1)
        expect(page.get_by_role("link", name="Download")).to_be_visible()
        expect(page.get_by_label("choose files")).to_have_count(0)
        rows.get_by_role("link", name="entry").click()
        expect(page.get_by_text("Delete…")).to_have_count(0)
        rows.get_by_role("link", name="image.b2nd").click()
        expect(page.get_by_text("Copy…")).to_be_visible()
        expect(page.get_by_text("Delete…")).to_have_count(0)
        page.get_by_role("link", name="Plot", exact=True).click()
        expect(page.locator("[data-max]").first).to_have_attribute("data-max", "599")
        visit.go("/roots/@shared/scan.h5")
        page.get_by_text("Delete…").click()
        page.get_by_role("button", name="Delete").click()
        page.wait_for_url("**/roots/@shared?removed=*")


def test_what_is_deleted_comes_back_by_undo_or_from_the_trash(
    browser: Browser, shared_stack: Stack
) -> None:
    from playwright.sync_api import expect

    with Visit.begun(browser, shared_stack.url) as visit:
        page = visit.page
        be_logged_in(shared_stack, page, SUPER)
        page.request.get("/roots/foo/README.md")
        for name in ("@personal/dir/sub/one.md", "@personal/two.md"):
            change(shared_stack, page, "copy", src="foo/README.md", dst=name)
        visit.go("/roots/@personal/dir/sub/one.md")
        page.get_by_text("Delete…").click()
        page.get_by_role("button", name="Delete").click()
        page.wait_for_url("**/roots/@personal?removed=*")  # no directory is left above
        expect(page.get_by_text("dir/sub/one.md was deleted")).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        page.wait_for_url("**/roots/@personal/dir/sub/one.md")
        page.get_by_text("Move…").click()
        page.get_by_label("Move to").fill("@personal/dir/moved.md")
        page.get_by_role("button", name="Move").click()
        page.wait_for_url("**/roots/@personal/dir/moved.md")
        for path in ("dir", "two.md"):
            change(shared_stack, page, "remove", path=f"@personal/{path}")
        visit.go("/roots/@personal")
        page.get_by_role("link", name="Trash").first.click()
        own = visit.rows().filter(has_text="@personal")
        expect(own).to_have_count(2)
        page.get_by_role("button", name="Restore @personal/dir").click()
        page.wait_for_url("**/roots/@personal/dir")
        visit.go("/trash")
        expect(own).to_have_count(1)
        own.get_by_text("Delete…").click()
        page.get_by_role("button", name="Delete @personal/two.md for good").click()
        expect(own).to_have_count(0)
        assert page.request.get("/roots/@personal/two.md").status == 404


@pytest.mark.parametrize(
    ("scheme", "widths"),
    [
        ("dark", (390, 1280)),
        ("light", (390, 1280)),
    ],
)
@pytest.mark.slow  # each day a page of all components of which they are made does
def test_pages_of_accounts_obey_the_rules_of_accessibility(
    browser: Browser, shared_stack: Stack, scheme: str, widths: tuple[int, ...]
) -> None:
    context = {"color_scheme": scheme, "reduced_motion": "reduce"}
    with Visit.begun(browser, shared_stack.url, **context) as visit:
        for path in ("/register", "/login"):
            visit.check(path, *widths)
        be_logged_in(shared_stack, visit.page, SUPER)
        change(shared_stack, visit.page, "copy", src="foo/README.md", dst="@personal/a/gone.md")
        change(shared_stack, visit.page, "remove", path="@personal/a/gone.md")
        plan = {"path": "@personal/large.bin", "size": 9, "tag": "large.bin 9 1"}
        sent = visit.page.request.post("/api/uploads", data=plan)
        assert sent.ok, sent.text()
        for path in ("/account", "/users", "/trash", "/status", "/roots/@personal"):
            visit.check(path, *widths)
        change(shared_stack, visit.page, "empty", all="1")
        visit.page.request.delete(f"/api/uploads/{sent.json()['id']}")


@pytest.mark.slow
def test_an_expression_is_looked_at_and_stored(browser: Browser, shared_stack: Stack) -> None:
    from playwright.sync_api import expect

    with Visit.begun(browser, shared_stack.url) as visit:
        page = visit.page
        log_in(page, ANN)
        visit.go("/compute?a=foo/dir1/ds-2d.b2nd")
        page.get_by_label("Expression").fill("a +")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("alert")).to_be_visible()
        page.get_by_label("Expression").fill("a * 2 + 0.5")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("status").get_by_text("10 × 20")).to_be_visible()
        expect(page.locator(".cells td").nth(1)).to_have_text("2.5")
        picture = page.get_by_role("img", name="first plane")
        assert picture.evaluate("(e) => [e.naturalWidth, e.naturalHeight]") == [20, 10]
        assert picture.evaluate("(e) => [e.offsetWidth, e.offsetHeight]") == [320, 160]
        expect(page.get_by_role("status").get_by_text("float64")).to_be_visible()
        page.get_by_label("Store as").fill("double")
        page.get_by_role("button", name="Store").click()
        page.wait_for_url("**/roots/@personal/double.b2nd")
        expect(page.get_by_text("a * 2 + 0.5")).to_be_visible()
        visit.go("/roots/@personal/double.b2nd?tab=data")
        expect(page.locator("#cells td").nth(2)).to_have_text("2.5")


@pytest.mark.slow
def test_a_session_that_ends_while_a_form_is_open_says_so(
    browser: Browser, shared_stack: Stack
) -> None:
    from playwright.sync_api import expect

    with Visit.begun(browser, shared_stack.url) as visit:
        page = visit.page
        be_logged_in(shared_stack, page, ANN)
        visit.go("/account")
        page.context.clear_cookies()
        page.get_by_label("Current password").fill("a")
        page.get_by_label("New password").fill("b")
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_role("heading", name="Log in to see this")).to_be_visible()
        eventually(lambda: page.get_by_role("link", name="Log in").count() > 0)
