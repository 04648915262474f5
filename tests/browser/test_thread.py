"""The whole thread, as people go through it: `make run` on an empty folder, and the loop closed in a browser.

Alice labels twenty comparisons by keyboard; simulated annotators add some more, so that every split has pairs; Carol
freezes them, trains a reward model and a policy, watches the curve, and opens the diff. Real servers, real workers,
the real trainer on the starter model; only the number of steps is small.
"""

import re

from playwright.sync_api import Browser, expect

from tests.browser import driving
from tests.product import data_folder, running_product

SLUG = "support-replies"


def test_the_loop_is_closed_in_a_browser(chromium: Browser) -> None:
    with data_folder() as var, running_product(var, demo=True) as product:
        alice = driving.enter(chromium, product, "alice")
        driving.label_by_keyboard(alice, SLUG, "1267t35x21" * 2)
        expect(alice.locator(".task-bar")).to_contain_text("20 of 40 today")
        product.manage("simulate_annotators", "--project", SLUG, "--judgments", "80")

        carol = driving.enter(chromium, product, "carol")
        violations: list[str] = []
        carol.on("console", lambda message: violations.append(message.text) if message.type == "error" else None)
        carol.on("pageerror", lambda error: violations.append(str(error)))

        carol.goto("/dashboard/")
        expect(carol.locator(".next-step")).to_contain_text("freeze the labels")
        driving.freeze(carol, SLUG)
        driving.start_run(carol, epochs=2)
        driving.wait_for_status(carol)
        expect(carol.locator("#progress")).to_contain_text("The longer one wins")

        carol.goto("/dashboard/")
        expect(carol.locator(".next-step")).to_contain_text("train a policy")
        carol.locator(".next-step a").click()
        run = driving.start_run(carol, total_episodes=96, rollout_batch_size=16)
        # The curve appears by itself and grows while the run goes on.
        reward = carol.locator("[data-source='reward:reward/mean']")
        expect(reward).to_have_attribute("data-points", re.compile(r"^[1-9]"), timeout=driving.LONG)
        assert carol.locator("#chart-reward *").count() > 1
        driving.wait_for_status(carol)
        expect(reward).to_have_attribute("data-points", "6")
        expect(carol.locator("#samples")).to_contain_text("step 6")

        carol.goto(run)
        carol.get_by_role("link", name="Compare with its start").click()
        carol.get_by_role("button", name="Write the missing answers").click()
        pairs = carol.locator(".diffs > li")
        expect(pairs.first).to_be_visible(timeout=driving.LONG)
        expect(carol.locator(".stats")).to_contain_text("Wins by reward")
        assert carol.locator(".diffs ins, .diffs del").count() > 0
        assert not violations
