"""Pages of the web client: roots, directories, metadata and errors"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.visits import Visit
from tests.conftest import Stack
from tests.web.asking import ask

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
ARRAY = "roots/foo/dir1/ds-2d.b2nd"
FILE = "roots/foo/README.md"
PAGES = ("", "about", "status", "roots/foo", "roots/foo/dir1", ARRAY, FILE, "roots/foo/no")


def test_programs_still_get_json_at_the_start(shared_stack: Stack) -> None:
    for accept in ("*/*", "application/json"):
        answer = ask(shared_stack, "", Accept=accept)
        assert answer.json["name"] == "Caterva2"
    assert ask(shared_stack, "", Accept=HTML).headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("page", PAGES)
def test_every_page_forbids_all_but_what_this_server_sends(shared_stack: Stack, page: str) -> None:
    headers = ask(shared_stack, page, Accept=HTML).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not [word for word in ("unsafe-", "nonce-", "http", "*") if word in policy]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"].startswith("text/html")


def test_static_files_are_kept_for_ever_until_one_of_them_changes(shared_stack: Stack) -> None:
    page = ask(shared_stack, "about").body.decode()
    style = page.partition('rel="stylesheet" href="/')[2].partition('"')[0]
    first = ask(shared_stack, style, Accept_Encoding="gzip")
    assert "immutable" in first.headers["cache-control"]
    assert first.headers["content-encoding"] == "gzip"
    again = ask(shared_stack, style, If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    other = ask(shared_stack, f"static/0123456789abcdef/{style.rpartition('/')[2]}")
    assert (other.status, other.headers["cache-control"]) == (200, "no-cache")
    for name in ("no.css", "..%2f..%2fsite.py", "../site.py"):
        assert ask(shared_stack, f"static/x/{name}").status == 404


def test_a_form_of_another_site_is_refused(shared_stack: Stack) -> None:
    answer = ask(
        shared_stack, "change/leave", "POST", "root=foo", Origin="http://evil.example",
        Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip
    assert answer.status == 403
    assert ask(shared_stack, "api/roots").json["foo"]["subscribed"] is True


def test_a_dataset_is_shown_with_how_it_is_stored(shared_stack: Stack) -> None:
    page = ask(shared_stack, ARRAY, Accept=HTML).body.decode()
    for text in ("10 × 20", "uint16", "5 × 5", "2 × 4", "ZSTD"):
        assert text in page, text
    page = ask(shared_stack, "roots/foo/ds-sc-attr.b2nd", Accept=HTML).body.decode()
    for text in ("123.456", "&lt;f8"):
        assert text in page, text


@pytest.mark.slow  # each day below a prefix
def test_one_walks_from_the_roots_to_a_dataset(visit: Visit) -> None:
    page = visit.go("/")
    row = visit.rows().filter(has_text="foo")
    assert "live" in row.inner_text()
    row.get_by_role("link", name="foo").click()
    page.get_by_role("link", name="dir1").click()
    page.get_by_role("link", name="ds-2d.b2nd").click()
    assert page.get_by_role("heading", level=1).inner_text() == "ds-2d.b2nd"
    shown = visit.text("main")
    for text in ("10 × 20", "uint16", "5 × 5", "2 × 4", "ZSTD"):
        assert text in shown, text
    page.get_by_role("link", name="dir1").click()
    assert page.url.endswith("/roots/foo/dir1")


def test_a_file_has_pages_too(shared_stack: Stack) -> None:
    assert "<h2>" in ask(shared_stack, FILE).body.decode()
    assert "one item" not in ask(shared_stack, f"{FILE}?tab=info").body.decode()


@pytest.mark.slow
def test_attributes_are_shown_with_their_types(visit: Visit) -> None:
    visit.go("/roots/foo/ds-sc-attr.b2nd")
    rows = [row.split("\t") for row in visit.text("table.values").splitlines()]
    assert rows == [["a", "1", "<i8"], ["b", "foo", "text"], ["c", "123.456", "<f8"]]


@pytest.mark.slow
def test_lists_are_walked_with_the_arrows(visit: Visit) -> None:
    page = visit.go("/roots/foo")
    page.get_by_role("link", name="dir1").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/roots/foo/dir2")
    page.get_by_role("link", name="ds-4d.b2nd").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/roots/foo")


def test_the_scheme_is_chosen_and_kept(visit: Visit) -> None:
    page = visit.go("/about")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(19, 22, 26)")
    visit.go("/")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("roots/foo/no", 404, "foo/no does not exist"),
        ("roots/foo/dir1/no%3Cb%3E", 404, '<li><a href="/roots/foo/dir1">dir1</a></li>'),
        ("roots/foo/dir1/no%3Cb%3E", 404, '<li aria-current="page">no&lt;b&gt;</li>'),
        ("roots/none", 404, "none"),
        ("roots/a..b", 400, "is not a root name"),
        ("roots/foo?page=7", 400, "not one of the 1 pages"),
        ("roots/foo?page=0000000017", 400, "not one of the 1 pages"),
        (f"{ARRAY}?tab=no", 400, "none of info"),
        ("change/leave", 405, "Method Not Allowed"),
    ],
)
def test_an_error_is_a_sentence_and_what_to_do(
    shared_stack: Stack, path: str, status: int, said: str
) -> None:
    answer = ask(shared_stack, path, Accept=HTML)
    body = answer.body.decode()
    assert (answer.status, "<h1>" in body) == (status, True)
    assert said in body


@pytest.mark.slow  # each day a plot and its cuts are shown without scripts
def test_pages_can_be_read_without_scripts(browser: Browser, shared_stack: Stack) -> None:
    with Visit.begun(browser, shared_stack.url, java_script_enabled=False) as visit:
        visit.go(f"/{ARRAY}")
        assert "10 × 20" in visit.text("main")


def test_subscriptions_begin_and_end_on_the_first_page(visit: Visit, shared_stack: Stack) -> None:
    page = visit.go("/")
    page.get_by_role("button", name="Leave foo").click()
    page.get_by_role("button", name="Subscribe to foo").click()
    page.wait_for_url("**/roots/foo")
    assert json.loads(shared_stack.get("api/roots"))["foo"]["subscribed"] is True


@pytest.mark.parametrize(
    ("path", "reduce"),
    [
        pytest.param("dir2/ds-4d.b2nd?slice=1,0,:,:&part=angle&", "max", marks=pytest.mark.slow),
        ("ds-1d.b2nd?", "minmax"),
    ],
)
def test_what_a_plot_needs_begins_to_load_with_its_page(
    visit: Visit, path: str, reduce: str
) -> None:
    page = visit.go(f"/roots/foo/{path}tab=plot")
    page.locator("#plot[data-state=ready]").wait_for()
    (begun,) = (url for url in visit.requests if "/api/overview/" in url)  # the script took it
    assert f"reduce={reduce}" in begun
    hrefs = "links => links.map(link => link.href)"
    assert page.locator("link[rel=preload]").evaluate_all(hrefs) == [begun]
    modules = set(page.locator("link[rel=modulepreload], script").evaluate_all(
        "all => all.map(one => one.href ?? one.src)"
    ))  # fmt: skip
    scripts = {url for url in visit.requests if re.search(r"/static/.*\.js$", url)}
    assert {url for url in scripts - modules if "live-worker" not in url} == set()
