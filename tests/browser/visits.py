"""A page of the web client in a browser, with a record of all that went wrong in it."""

from __future__ import annotations

import contextlib
import html
import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from playwright import sync_api as playwright

PATIENCE_MS = 30_000
REPORT_CSP = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
"""


class Visit:
    """A page in a browser context of its own.

    Attributes
    ----------
    page : Page
    trouble : list of str
        Errors in the console, of scripts and of the server, requests to other hosts, dialogs, and
        violations of the content security policy.
    requests : list of str
        URLs of all requests.
    """

    def __init__(self, page: playwright.Page, url: str) -> None:
        self.page = page
        self.url = url
        self.trouble: list[str] = []
        self.requests: list[str] = []
        self.received = 0
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(REPORT_CSP)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)
        page.on("dialog", self._dialog)

    @classmethod
    @contextlib.contextmanager
    def begun(cls, browser: playwright.Browser, url: str, **context: Any) -> Iterator[Self]:
        """Open a page, and check in the end that nothing went wrong in it."""
        made = browser.new_context(base_url=url, **context)
        try:
            visit = cls(made.new_page(), url)
            yield visit
            assert not visit.trouble, visit.trouble
        finally:
            made.close()

    def go(self, path: str) -> playwright.Page:
        self.page.goto(path)
        return self.page

    def check(self, path: str, *widths: int) -> None:
        """Open a page: it obeys the rules of accessibility, and is no wider than the screen.

        It does so on a screen of each of some widths, or on the one that there is.
        """
        self.page.goto(path)
        for width in widths:
            self.page.set_viewport_size({"width": width, "height": 800})
            self.check_shown()
        if not widths:
            self.check_shown()

    def check_shown(self) -> None:
        """Check what the page shows now, as `check` does."""
        from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

        path, found = self.page.url, Axe().run(self.page)
        assert found.violations_count == 0, (path, found.generate_report())
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert self.page.evaluate(over) <= 0, path

    def live(self, path: str) -> playwright.Page:
        """Open a page, and wait until it hears of changes."""
        from playwright.sync_api import expect

        self.page.goto(path)
        expect(self.page.locator("body")).to_have_attribute("data-stream", "up")
        return self.page

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def rows(self, selector: str = "table.list tbody tr") -> playwright.Locator:
        return self.page.locator(selector)

    def _console(self, message: playwright.ConsoleMessage) -> None:
        # The browser notes the status of a page that shows an error as well.
        refused = "the server responded with a status of 4" in message.text
        if message.type == "error" and not refused:
            self.trouble.append(f"console: {message.text}")

    def _request(self, request: playwright.Request) -> None:
        parts = urllib.parse.urlsplit(request.url)
        if parts.scheme in ("data", "blob", "chrome", "chrome-extension"):  # the viewer of PDFs
            return
        self.requests.append(request.url)
        if parts.netloc != urllib.parse.urlsplit(self.url).netloc:
            self.trouble.append(f"request to another host: {request.url}")

    def _response(self, response: playwright.Response) -> None:
        self.received += int(response.headers.get("content-length", 0))
        if response.status >= 500:
            self.trouble.append(f"{response.status}: {response.url}")

    def _dialog(self, dialog: playwright.Dialog) -> None:
        self.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()


def plant(page: playwright.Page, **facts: float) -> None:
    """Let the page have other facts of its dataset than the subscriber says."""

    def changed(found: re.Match[str]) -> str:
        known = json.loads(html.unescape(found[1])) | facts
        return f'data-facts="{html.escape(json.dumps(known))}"'

    def answer(route: playwright.Route) -> None:
        page = route.fetch()
        body = re.sub('<link rel="preload"[^>]*>', "", page.text())  # it follows from the true ones
        route.fulfill(response=page, body=re.sub('data-facts="([^"]*)"', changed, body))

    page.route(re.compile("/roots/.*tab=plot"), answer)
