"""The product's pages driven by a person's moves, for the whole-thread test, the screenshots and the benchmarks."""

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.install import FLAGS, MISSING, find_chromium
from tests.product import Product

LONG = 300_000
"""Milliseconds a run may take on a busy machine before the driver gives up."""


@contextlib.contextmanager
def chromium(program: str | None = None) -> Iterator[Browser]:
    """A running Chromium: the one named, else the one found here; ends with a sentence where there is none."""
    program = program or find_chromium()
    if program is None:
        raise SystemExit(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def enter(
    browser: Browser, product: Product, name: str, *, password: str = "", width: int = 1440, theme: str = "light"
) -> Page:
    """A page in which the demo's person has logged in by typing name and password (the one that was printed)."""
    context = browser.new_context(
        base_url=product.url,
        viewport={"width": width, "height": 900 if width > 500 else 740},
        color_scheme="dark" if theme == "dark" else "light",
    )
    page = context.new_page()
    page.goto("/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password or product.logins[name])
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: not url.endswith("/login/"))
    return page


def label_by_keyboard(page: Page, slug: str, keys: str) -> None:
    """One judgment a key, each sent with Enter; waits until the next task is there."""
    page.goto(f"/projects/{slug}/annotate/")
    for key in keys:
        judge_by_key(page, key)
    wait_until_sent(page)


def judge_by_key(page: Page, key: str) -> None:
    sent = page.locator("form#judgment [name=submission_key]").get_attribute("value")
    page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.locator(f"[name=submission_key][value='{sent}']")).to_have_count(0)


def wait_until_sent(page: Page) -> None:
    """The next task is on screen before the server has answered: this waits for the answer."""
    page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.startsWith('outbox:'))")


def freeze(page: Page, slug: str, **settings: object) -> None:
    """Freeze the labels; the browser then shows the form of a reward run on the new snapshot."""
    page.goto(f"/projects/{slug}/freeze/")
    for name, value in settings.items():
        page.locator(f"[name={name}]").fill(str(value))
    page.get_by_role("button", name="Freeze and train a reward model").click()
    page.wait_for_url("**/runs/new/**")


def start_run(page: Page, **settings: object) -> str:
    """Fill the open new-run form, start it, and return the run's address."""
    for name, value in settings.items():
        control = page.locator(f"[name={name}]")
        if not control.is_visible():
            page.locator("details.foldable > summary").click()
        control.fill(str(value))
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(lambda url: "/runs/new/" not in url)
    return page.url


def wait_for_status(page: Page, status: str = "succeeded", *, timeout: int = LONG) -> None:
    """The run page changes by itself: nobody reloads it."""
    expect(page.locator("#progress .badge").first).to_have_text(status, timeout=timeout)
