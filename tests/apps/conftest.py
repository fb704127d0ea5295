"""A real browser for the tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chromium import find_chromium


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # No sandbox: root, as which CI runs, cannot have Chromium's; the only pages opened are our own.
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser) -> Iterator:
    """A fresh profile; the test fails if a page raises an error or asks another host for anything."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(60_000)
    faults: list[str] = []
    context.on("weberror", lambda error: faults.append(str(error.error)))
    local = ("http://127.0.0.1:", "data:", "blob:")
    context.on("request", lambda request: request.url.startswith(local) or faults.append(request.url))
    yield context
    context.close()
    assert faults == []
