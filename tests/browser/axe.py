"""axe, the checker of accessibility rules, on a page as it stands: in both themes, wide and on a phone.

    PLUMBLINE_PICTURES=folder python -m pytest tests/browser/test_accessibility.py

also leaves a picture of each page in each state, for people to look at; with PLUMBLINE_LOCALE=zh-CN and
`-k every_page` in that language.
"""

import itertools
import os
import re
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page, TimeoutError

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OF_COLOUR = ["color-contrast", "link-in-text-block"]
"""The rules whose answer changes with the theme; the others are asked once a width."""
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 740}
SCREENS: list[tuple[Any, Any, list[str]]] = [
    (WIDE, "light", RULES),
    (WIDE, "dark", OF_COLOUR),
    (NARROW, "dark", RULES),
    (NARROW, "light", OF_COLOUR),
]
PICTURES = os.environ.get("PLUMBLINE_PICTURES")
numbers = itertools.count(1)
FITS = "() => document.documentElement.scrollWidth <= innerWidth"
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest(".table-scroll"))
    .slice(0, 5).map((e) => e.outerHTML.slice(0, 200))"""


def check(page: Page) -> None:
    """Fail for what axe finds, and when the page scrolls sideways. Nothing is loaded anew in between."""
    page.evaluate(AXE_SCRIPT)
    number = next(numbers)
    for size, theme, rules in SCREENS:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.set_viewport_size(size)
        fits(page)
        options = {"runOnly": rules, "resultTypes": ["violations"]}
        found = AxeResults(page.evaluate("(options) => axe.run(options)", options))
        photograph(page, f"{number:03}", f"{size['width']}-{theme}")
        assert found.violations_count == 0, f"{page.url} {theme} {size}\n{found.generate_report()}"
    page.set_viewport_size(WIDE)


def fits(page: Page) -> None:
    """Fail when the page scrolls sideways: what is wider than the screen has a place of its own to scroll in."""
    if page.evaluate(FITS):
        return
    try:
        page.wait_for_function(FITS)  # charts follow the width a moment later
    except TimeoutError:
        raise AssertionError(f"{page.url} is too wide: {page.evaluate(TOO_WIDE)}") from None


def photograph(page: Page, number: str, screen: str) -> None:
    if PICTURES:
        name = re.sub(r"\W+", "-", page.url.split("/", 3)[3]).strip("-")[:60] or "home"
        page.screenshot(path=Path(PICTURES) / f"{number}-{name}-{screen}.png", full_page=True)
