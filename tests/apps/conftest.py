"""A real browser for the tests of the pages."""

from __future__ import annotations

import contextlib
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
    """A desktop."""
    with _profile(browser, viewport={"width": 1440, "height": 900}, accept_downloads=True) as context:
        yield context


@pytest.fixture
def phone(browser) -> Iterator:
    """A touch screen of a phone's size, without mouse and keyboard."""
    size = {"width": 390, "height": 844}
    with _profile(browser, viewport=size, has_touch=True, is_mobile=True) as context:
        yield context


def assert_fit_for_touch(page) -> None:
    """What can be tapped has at least 44 x 44 px, and the page does not scroll sideways."""
    for image in page.locator("img:visible").all():
        image.evaluate("image => image.decode()")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    tapped = "button, label.button, input[type=range], #parts span, #gallery button, .bin, .column"
    boxes = page.eval_on_selector_all(
        tapped, "all => all.map(one => [one.textContent.trim(), one.getBoundingClientRect()])"
    )
    assert boxes
    assert [name for name, box in boxes if min(box["width"], box["height"]) < 44] == []


@contextlib.contextmanager
def _profile(browser, **settings) -> Iterator:
    """A fresh profile; the test fails if a page raises an error or asks another host for anything."""
    context = browser.new_context(**settings)
    context.set_default_timeout(60_000)
    faults: list[str] = []
    context.on("weberror", lambda error: faults.append(str(error.error)))
    local = ("http://127.0.0.1:", "data:", "blob:")
    context.on("request", lambda request: request.url.startswith(local) or faults.append(request.url))
    yield context
    context.close()
    assert faults == []
