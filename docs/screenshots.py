"""Take the README's pictures anew: `make screenshots` (or `python -m docs.screenshots`).

Starts the product on an empty folder, photographs the comparison page, then labels by the stated rule, trains a reward
model and a policy on the starter model, and photographs the policy's run page.
"""

from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import driving
from tests.product import Product, data_folder, running_product

IMAGES = Path(__file__).parent / "images"
SLUG = "support-replies"


def photograph_comparison(browser: Browser, product: Product) -> None:
    alice = driving.enter(browser, product, "alice", width=1200)
    alice.set_viewport_size({"width": 1200, "height": 560})
    alice.goto(f"/projects/{SLUG}/annotate/")
    # The sides are drawn by lot; the picture is to show the choice that a person would make of this pair.
    is_left_kind = "sorry" in alice.locator(".answers > *").first.inner_text().lower()
    alice.keyboard.press("2" if is_left_kind else "6")
    alice.screenshot(path=IMAGES / "comparison.png")


def photograph_run(browser: Browser, product: Product) -> None:
    product.manage("simulate_annotators", "--project", SLUG, "--judgments", "600")
    carol = driving.enter(browser, product, "carol", width=1200)
    driving.freeze(carol, SLUG)
    driving.start_run(carol)
    driving.wait_for_status(carol)
    carol.goto("/dashboard/")
    carol.locator(".next-step a").click()
    driving.start_run(carol)
    driving.wait_for_status(carol)
    carol.locator("#curves").scroll_into_view_if_needed()
    carol.wait_for_timeout(1000)  # the last curve is being painted
    carol.screenshot(path=IMAGES / "run.png")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with driving.chromium() as browser, data_folder() as var, running_product(var, demo=True) as product:
        photograph_comparison(browser, product)
        photograph_run(browser, product)


if __name__ == "__main__":
    main()
