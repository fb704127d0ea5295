"""The browser of the page tests: Debian's or anybody's Chromium, driven by playwright."""

from __future__ import annotations

import importlib.util
import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """The program; GANVERSE_CHROMIUM names another one."""
    named = os.environ.get("GANVERSE_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


def missing_for_browser_tests() -> str | None:
    """What the page tests lack, or None if they can run."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright (pip install playwright)"
    return None if find_chromium() else "Chromium (apt-get install chromium, or name one in GANVERSE_CHROMIUM)"
