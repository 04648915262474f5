"""Take the README's pictures anew: `make screenshots` (or `python -m docs.screenshots`).

Starts the product on an empty folder, labels a little, trains a reward model and a policy on the starter model, and
photographs the comparison page and the policy's run page.
"""

from pathlib import Path

from tests.browser import driving
from tests.product import data_folder, running_product

IMAGES = Path(__file__).parent / "images"
SLUG = "support-replies"


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with driving.chromium() as browser, data_folder() as var, running_product(var, demo=True) as product:
        alice = driving.enter(browser, product, "alice", width=1200)
        alice.set_viewport_size({"width": 1200, "height": 560})
        alice.goto(f"/projects/{SLUG}/annotate/")
        alice.keyboard.press("6")
        alice.screenshot(path=IMAGES / "comparison.png")

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


if __name__ == "__main__":
    main()
