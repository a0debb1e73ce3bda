"""A subscriber below a prefix of a proxy: pages, REST, sessions, events and the client"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import caterva2
from tests.browser.visits import Visit
from tests.conftest import Stack, example_root
from tests.inprocess import cat2cli
from tests.prefixproxy import PrefixProxy
from tests.web.asking import ask

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ANN, WORD = "ann@example.com", "correct horse"


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("prefixed"))
    made.secret = "keeps sessions"
    made.configure('[subscriber]\nprefix = "/lab/data"\n')
    try:
        made.add_user(ANN, WORD)
        made.start_services(foo=example_root())
        yield made
    finally:
        made.stop_all()


@pytest.fixture(params=[False, True], ids=["kept", "stripped"])
def proxy(request: pytest.FixtureRequest, shared_stack: Stack) -> Iterator[PrefixProxy]:
    port = urllib.parse.urlsplit(shared_stack.url).port or 0
    with PrefixProxy.serving(port, "/lab/data", strip=request.param) as made:
        yield made
        assert made.strays == []  # every link, script, picture and request is below the prefix


@pytest.mark.parametrize(
    "proxy", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["kept", "stripped"],
    indirect=True,
)  # fmt: skip
def test_pages_work_below_a_prefix(
    browser: Browser, proxy: PrefixProxy, shared_stack: Stack
) -> None:
    from playwright.sync_api import expect

    with Visit.begun(browser, proxy.url) as visit:
        page = visit.page
        page.goto(f"{proxy.url}/login?next=/roots/@personal")
        page.get_by_label("Address").fill(ANN)
        page.get_by_label("Password", exact=True).fill(WORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/lab/data/roots/@personal*")
        (cookie,) = page.context.cookies()
        assert cookie["path"] == "/lab/data"
        expect(page.locator("body")).to_have_attribute("data-stream", "up")
        name = f"{'stripped' if proxy.strip else 'kept'}.md"
        file = {"name": name, "mimeType": "text/plain", "buffer": b"[it](b.md)"}
        page.locator("input[type=file]").first.set_input_files(files=[file])  # type: ignore[list-item]
        page.get_by_role("link", name=name).first.click()
        page.goto(page.url.partition("?")[0] + "?tab=display")
        expect(page.get_by_role("link", name="it", exact=True)).to_have_attribute(
            "href", "/lab/data/roots/@personal/b.md"
        )
        page.get_by_role("navigation", name="Path").get_by_role("link", name="roots").click()
        page.get_by_role("link", name="foo").first.click()
        page.get_by_role("link", name="ds-1d.b2nd").first.click()
        page.wait_for_url("**/lab/data/roots/foo/ds-1d.b2nd*")
        page.goto(f"{proxy.url}/roots/foo/ds-1d.b2nd?tab=plot")
        page.goto(f"{proxy.url}/roots/foo/ds-1d.b2nd?tab=data")
        download = page.get_by_role("link", name="CSV").get_attribute("href") or ""
        assert page.request.get(download).status == 200
        assert f"caterva2.Client('{proxy.url}')" in (page.text_content("main") or "")
        page.goto(f"{proxy.url}/account")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/lab/data/")
        assert page.context.cookies() == []


def test_client_reads_below_a_prefix(proxy: PrefixProxy, shared_stack: Stack) -> None:
    with caterva2.Client(proxy.url, (ANN, WORD)) as client:
        assert client.fetch("foo/ds-1d.b2nd", slice(3)).tolist() == [0, 1, 2]
        client.upload(b"five", "@personal/five.txt")
        assert client.get("@personal/five.txt")[1:3] == b"iv"
    shown = cat2cli("--subscriber", proxy.url, "show", "foo/ds-1d.b2nd[:3]")
    assert shown.stdout == "[0 1 2]\n"


def test_rest_answers_are_of_the_prefix(shared_stack: Stack) -> None:
    for where in ("lab/data/", ""):
        answer = ask(shared_stack, f"{where}api/fetch/foo/ds-1d.b2nd?slice_=:2&format=json")
        assert (answer.status, answer.json) == (200, [0, 1])
        assert ask(shared_stack, f"{where}zarr/foo/ds-1d.b2nd/zarr.json").json["shape"] == [1000]
        assert ask(shared_stack, f"{where}api/openapi.json").json["servers"] == [{"url": ".."}]
        assert ask(shared_stack, f"{where}roots").headers["location"] == "/lab/data/"
        page = ask(shared_stack, f"{where}about", Accept="text/html").body.decode()
        links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page)
        assert links, json.dumps(page[:200])
        assert [link for link in links if not link.startswith("/lab/data/")] == []
    assert ask(shared_stack, "lab/datax/api/roots").status == 404
