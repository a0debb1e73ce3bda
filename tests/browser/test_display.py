"""Files shown by their content, and nothing that an attacker writes into data runs on a page"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator

import pytest

from caterva2.pages.display import notebook
from tests.browser import gallery
from tests.browser.gallery import NAMES
from tests.browser.visits import Visit
from tests.conftest import Stack
from tests.thoroughness import some, thorough
from tests.web.asking import Answer, ask


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("files"))
    try:
        gallery.write_files(made.directory / "root")
        made.start(f=made.directory / "root")
        yield made
    finally:
        made.stop_all()


def get(stack: Stack, path: str) -> Answer:
    return ask(stack, urllib.parse.quote(path), Accept="text/html")


def test_markdown_is_shown_without_its_html(shared_stack: Stack) -> None:
    page = get(shared_stack, "roots/f/notes.md").body.decode()
    prose = page.partition('<article class="box prose">')[2].partition("</article>")[0]
    assert "<h2>Title" in prose
    assert '<a href="/roots/f/other.md">good</a>' in prose
    assert '<img src="/api/download/f/picture.png" alt="y" loading="lazy">' in prose
    assert "[picture: x]" in prose
    assert "<strong>bold</strong>" in prose
    assert '<span class="k-kn">import</span>' in prose
    tags = {tag.lower() for tag in re.findall(r"<([a-zA-Z0-9]+)", prose)}
    assert tags <= {"a", "code", "h2", "img", "p", "pre", "span", "strong"}
    assert not re.search(r'href="(?!/roots/|x&quot;)', prose)


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("huge.txt", "the first 262 kB of 1.07 GB"),
        pytest.param("long.md", "the first 524 kB", marks=pytest.mark.slow),
    ],
)
def test_a_large_file_shows_its_beginning(shared_stack: Stack, name: str, beginning: str) -> None:
    page = get(shared_stack, f"roots/f/{name}").body.decode()
    assert beginning in page
    assert len(page) < 4_000_000


def test_bytes_that_are_no_text_are_dumped(shared_stack: Stack) -> None:
    page = get(shared_stack, "roots/f/noise.bin").body.decode()
    assert "00000040  40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO" in page


def test_a_broken_notebook_is_said_to_be_one(shared_stack: Stack) -> None:
    answer = get(shared_stack, "roots/f/broken.ipynb")
    assert answer.status == 502
    assert "no notebook of version 4" in answer.body.decode()


def test_a_long_notebook_is_marked_in_part_and_shown_whole() -> None:
    code = {"cell_type": "code", "source": "import x\n" * 5}
    text = {"cell_type": "markdown", "source": "**<b>** " * 5}
    raw = {"cell_type": "raw", "source": "x" * 50_000}
    book = {"cells": [code, text, *[raw] * 6, code, text]}
    first, second, *_, third, last = notebook.cells(json.dumps(book), "f")
    assert first.shown.startswith('<span class="k-')
    assert "<strong>&lt;b&gt;</strong>" in second.shown
    assert third.shown == "import x\n" * 5
    assert last.shown == "**&lt;b&gt;** " * 5


def test_only_documents_may_be_framed_and_only_by_this_site(shared_stack: Stack) -> None:
    document = get(shared_stack, "view/f/paper.pdf")
    assert document.body == gallery.PDF
    assert document.headers["content-type"] == "application/pdf"
    assert document.headers["x-frame-options"] == "SAMEORIGIN"
    assert "frame-ancestors 'self'" in document.headers["content-security-policy"]
    for name in ("page.html", "drawing.svg", "notes.md"):
        assert get(shared_stack, f"view/f/{name}").status == 404


ACTIVE = "notes.md", "page.html", "drawing.svg", "paper.pdf"
"""What a script may be in, beside notebooks; the others are shown by slow runs too."""
FILES = *ACTIVE, "book.ipynb", "plain.unknown", "code.py", "long.md", "empty.txt", "picture.png"


QUERIES = "?tab=data", "", "?tab=data&field=%3Cb%3E"
WRONG = (
    f"roots/f/{gallery.EVIL}",
    f"roots/{gallery.EVIL}",
    "roots/f?page=" + gallery.EVIL,
)
"""Addresses of nothing, which the pages of their errors name."""


def test_what_data_and_addresses_hold_is_escaped(shared_stack: Stack) -> None:
    for name in NAMES:
        place = f"roots/f/{name}"
        own = f"{urllib.parse.quote(place)}/{urllib.parse.quote(name)}.b2nd"
        for path in (urllib.parse.quote(place), *(own + query for query in QUERIES)):
            page = ask(shared_stack, path, Accept="text/html")
            assert page.status == 200
            check_escaped(page.body.decode())
    for path in WRONG:
        page = ask(shared_stack, urllib.parse.quote(path, safe="/?="), Accept="text/html")
        assert page.status in (400, 404)
        check_escaped(page.body.decode())


def check_escaped(page: str) -> None:
    """Check that no tag of the data is one of the page."""
    assert "<script>" not in page
    assert "<img src=x" not in page


def test_nothing_that_data_holds_runs_as_a_script(visit: Visit) -> None:
    visit.page.add_init_script("window.pwn = () => { console.error('pwned'); }")
    for name in FILES if thorough() else ACTIVE:
        visit.go(f"/roots/f/{name}")
    for name in some(NAMES, 4):
        place = urllib.parse.quote(f"/roots/f/{name}")
        visit.go(place)
        own = urllib.parse.quote(f"{name}.b2nd")
        for query in some(QUERIES, 3):
            visit.go(f"{place}/{own}{query}")
            assert name in visit.text("h1")
    for path in some(WRONG, 3):
        visit.go(urllib.parse.quote(f"/{path}", safe="/?="))
        assert "pwn()" in visit.text("main") or "page=" in path


def test_pictures_are_shown_and_broken_ones_are_said_to_be_so(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit.go("/roots/f/picture.png")
    expect(page.get_by_role("img", name="picture.png")).to_be_visible()
    assert page.evaluate("document.querySelector('[data-media]').naturalWidth") == 4
    page = visit.go("/roots/f/broken.png?tab=display")
    expect(page.get_by_role("alert")).to_contain_text("can't show this file")


def test_a_notebook_shows_text_code_and_pictures(visit: Visit) -> None:
    page = visit.go("/roots/f/book.ipynb")
    shown = visit.text("main")
    for text in ("[3]", "out", "plain", "Error", "import caterva2"):
        assert text in shown
    assert page.evaluate("document.querySelector('.output img').naturalWidth") == 4
    assert page.locator(".output img").count() == 1
