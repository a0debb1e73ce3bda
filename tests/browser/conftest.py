"""A browser for these tests, and pages that fail on whatever goes wrong in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.visits import Visit
from tests.conftest import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def _executable() -> str:
    """Return the browser: that without windows takes a third of the other's processor time."""
    installed = filter(None, map(shutil.which, ("chromium-headless-shell", "chromium")))
    found = os.environ.get("CAT2_CHROMIUM") or next(installed, "")
    if not found:
        missing = "no Chromium: apt-get install chromium-headless-shell, or set CAT2_CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(missing)  # where nobody reads what was skipped
        pytest.skip(missing)
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A Chromium for the tests of this package: loops of others can't run beside Playwright's."""
    executable = _executable()
    # Imported by the process that runs the tests, since it can't be forked.
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        try:
            yield started
        finally:
            started.close()


@pytest.fixture
def visit(browser: Browser, shared_stack: Stack) -> Iterator[Visit]:
    """A page of the shared services; the test fails if anything went wrong in it."""
    with Visit.begun(browser, shared_stack.url) as made:
        yield made
