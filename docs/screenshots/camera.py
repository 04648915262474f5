"""Pictures of pages: each person logs in once; pages are photographed when they have come to rest."""

import base64
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import driving
from tests.product import Product

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 740}
LOCALES = {"en": "en-US", "zh": "zh-CN"}
QUALITY = 82
LARGEST = 150_000
"""Bytes of a picture in the repository."""

IS_AT_REST = """() => {
    const curves = document.getElementById("curves");
    if (curves && !curves.dataset.finished) return false;
    return [...document.querySelectorAll(".chart[data-drawn] .canvas")].every((place) => {
        const drawn = place.firstElementChild;
        return drawn && drawn.clientWidth > 0 && Math.abs(drawn.clientWidth - place.clientWidth) < 12;
    });
}"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
UNFOLD = """() => document.querySelectorAll("main details:not(.chart *, .at-work *, .tool)").forEach((folded) => {
    folded.open = true;
})"""


class Camera:
    def __init__(self, browser: Browser, product: Product, logins: dict[str, str]) -> None:
        self.browser, self.product = browser, product
        self.states = {}
        for name, password in logins.items():
            page = driving.enter(browser, product, name, password=password)
            self.states[name] = page.context.storage_state()
            page.context.close()

    def context(self, person: str, language: str = "en", *, scale: float = 1) -> BrowserContext:
        return self.browser.new_context(
            base_url=self.product.url,
            storage_state=self.states[person],
            locale=LOCALES[language],
            device_scale_factor=scale,
            reduced_motion="reduce",
        )

    def take(
        self,
        person: str,
        path: str,
        to: Path,
        *,
        size: tuple[int, int],
        theme: str = "light",
        language: str = "en",
        first: Callable[[Page], object] = lambda page: None,
    ) -> None:
        """One screen as a small WebP, at twice the pixels, so that it is sharp anywhere; `first` touches the page."""
        context = self.context(person, language, scale=2)
        page = context.new_page()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        page.goto(path)
        rest(page)
        first(page)
        rest(page)
        asked = {"format": "webp", "quality": QUALITY, "optimizeForSpeed": False}
        answer = context.new_cdp_session(page).send("Page.captureScreenshot", asked)
        to.write_bytes(base64.b64decode(answer["data"]))
        context.close()
        if to.stat().st_size > LARGEST:
            raise SystemExit(f"{to} has {to.stat().st_size:,} bytes, more than {LARGEST:,}: show less of the page.")

    def take_in_every_look(self, person: str, path: str, to: Path) -> None:
        """The whole page, wide and on a phone, in both themes and both languages; a fold is photographed open."""
        for language in LOCALES:
            context = self.context(person, language)
            page = context.new_page()
            page.goto(path)
            rest(page)
            page.evaluate(UNFOLD)
            for screen, size in (("1440", WIDE), ("360", PHONE)):
                page.set_viewport_size(size)
                for theme in ("light", "dark"):
                    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
                    rest(page)
                    page.screenshot(path=f"{to}-{screen}-{theme}-{language}.png", full_page=True)
            context.close()


def rest(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_function(IS_AT_REST)
    page.evaluate(TWO_FRAMES)
