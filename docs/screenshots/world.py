"""The product after one round of the loop, made through its own pages: what there is to photograph.

Alice and Bob label by keyboard, simulated annotators label the rest; Carol freezes, trains a reward model, tunes the
starter model with PPO, compares the two, sends answers back to people and sweeps over seeds; Bob reviews, and talks
with both versions.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Page, expect

from annotation.simulation import score
from tests.browser import driving
from tests.product import Product

SLUG = "support-replies"
ANSWERS = [
    "Cover them with cold water, bring it to the boil, then let them stand off the heat for nine minutes.",
    "Nine minutes in boiling water. Rinse them cold, so that they peel well.",
    "It depends on how you like them.",
    "Put the eggs into the microwave for two minutes.",
]
LINES = [
    {"prompt": "How do I boil eggs so that the yolk is firm?", "responses": ANSWERS},
    {"prompt": "What can I cook with two potatoes and an onion?", "responses": [
        "A potato rösti: grate both, press the water out, salt, and fry in butter until both sides are brown.",
        "Fry the onion, add the potatoes in thin slices, cover, and wait a quarter of an hour.",
        "Many things! Potatoes are very versatile.",
        "Order a pizza.",
    ]},
    {"prompt": "", "responses": ["An answer to nothing."]},
]  # fmt: skip
"""A small file with a line that an import leaves out."""

KEPT = "screenshots.json"
PATIENCE = 1_800_000
"""Milliseconds: training may share the machine with other work."""
SHORT = {"total_episodes": 256, "rollout_batch_size": 32}


@dataclass
class World:
    product: Product
    address: dict[str, str] = field(default_factory=dict)
    """Where each thing is that was made on the way, by what it is."""
    logins: dict[str, str] = field(default_factory=dict)
    """Name to password; the product prints them once."""

    @classmethod
    def kept(cls, product: Product) -> World | None:
        """That of an earlier time in the same folder."""
        if not (product.var / KEPT).exists():
            return None
        found = json.loads((product.var / KEPT).read_text())
        return cls(product, found["address"], found["logins"])

    def keep_all(self) -> None:
        kept = {"address": self.address, "logins": self.logins}
        (self.product.var / KEPT).write_text(json.dumps(kept, indent=1))

    def keep(self, name: str, page: Page) -> str:
        self.address[name] = page.url.removeprefix(self.product.url)
        return self.address[name]


def go_round(browser: Browser, product: Product) -> World:
    world = World(product, logins=product.logins)
    alice, bob = (driving.enter(browser, product, name) for name in ("alice", "bob"))
    label(alice, 15)
    label(bob, 15, differs_at=(3, 8, 11))
    simulate(product, 612)
    carol = driving.enter(browser, product, "carol")
    train(world, carol)
    compare(world, carol)
    ask_people(world, carol)
    review(world, bob)
    chat(world, bob)
    sweep(world, carol)
    for name, what in (("Recipes", "rankings"), ("Kitchen tips", "ratings")):
        add_project(world, carol, name, what=what)
    for page in (alice, bob, carol):
        page.context.close()
    return world


def label(page: Page, num: int, *, differs_at: tuple[int, ...] = ()) -> None:
    """As somebody would who reads: by the rule of the demo's guidelines, and now and then by another taste."""
    page.goto(f"/projects/{SLUG}/annotate/")
    for number in range(num):
        asked = page.locator(".conversation .prose").last.inner_text()
        left, right = (score(asked, text) for text in page.locator(".answers .answer > .prose").all_inner_texts())
        better = round((right - left) / 2)
        place = 4 + max(-3, min(3, -better if number in differs_at else better))
        driving.judge_by_key(page, str(place))
    driving.wait_until_sent(page)


def simulate(product: Product, num: int) -> None:
    product.manage("simulate_annotators", "--project", SLUG, "--judgments", str(num))


def carried_out(world: World, page: Page, name: str) -> None:
    """Wait for the run on the page, and keep its address and that of the version it made."""
    driving.wait_for_status(page, timeout=PATIENCE)
    world.keep(name, page)
    version = page.locator("#progress .button.primary")
    world.address[f"{name} version"] = version.get_attribute("href") or ""


def train(world: World, carol: Page) -> None:
    driving.freeze(carol, SLUG)
    driving.start_run(carol)
    carried_out(world, carol, "reward")
    snapshot = carol.locator("a[href^='/snapshots/']").first
    world.address["snapshot"] = snapshot.get_attribute("href") or ""
    carol.goto("/dashboard/")
    carol.locator(".next-step a").click()
    driving.start_run(carol)
    carried_out(world, carol, "policy")


def compare(world: World, carol: Page) -> None:
    """Both versions answer all prompts, and read the answers of both."""
    carol.get_by_role("link", name="Compare with its start").click()
    carol.get_by_role("button", name="Write the missing answers").click()
    expect(carol.locator(".diffs > li").first).to_be_visible(timeout=PATIENCE)
    world.keep("diff", carol)
    carol.get_by_role("button", name="Let both read the answers").click()
    expect(carol.locator(".tokens").first).to_be_visible(timeout=PATIENCE)
    carol.get_by_role("button", name="Review the pair").click()
    world.keep("review", carol)


def ask_people(world: World, carol: Page) -> None:
    carol.goto(world.address["policy version"])
    carol.get_by_role("link", name="Ask people about its answers").click()
    world.keep("new round", carol)
    carol.locator("[name=num]").fill("80")
    carol.locator("[name=random_percent]").fill("50")
    carol.locator("[name=overlap]").fill("1")
    carol.get_by_role("button", name="Ask people").click()
    carol.wait_for_url("**/rounds/*/")
    world.keep("round", carol)
    simulate(world.product, 110)
    carol.reload()
    world.address["answer"] = carol.locator(".diffs .pair header a").first.get_attribute("href") or ""
    world.address["task"] = carol.locator(".diffs .question a").first.get_attribute("href") or ""


def review(world: World, bob: Page) -> None:
    """Bob votes on three pairs and says why; the fourth is open before him."""
    bob.goto(world.address["review"])
    bob.get_by_role("link", name="Vote on the next pair").click()
    for number, choice in enumerate(("The first is better", "The second is better", "No difference")):
        bob.get_by_role("button", name=choice).click()
        if not number:
            bob.get_by_label("Comment").fill("Names the thing the customer wrote about, and says by when.")
            bob.get_by_role("button", name="Comment").click()
            world.keep("voted", bob)
        bob.get_by_role("link", name="Next pair").click()
    world.keep("vote", bob)


def chat(world: World, bob: Page) -> None:
    """With both versions, blind: a turn that is voted on, and one that waits for the vote."""
    asked = parse_qs(urlsplit(world.address["diff"]).query)
    bob.goto(f"/projects/{SLUG}/chat/")
    world.keep("chats", bob)
    for label, side in (("Version", "a"), ("Second version", "b")):
        bob.get_by_label(label, exact=True).select_option(asked[side][0])
    bob.get_by_label("Your message").fill("My parcel is ten days late. What can you do?")
    bob.get_by_role("button", name="Start").click()
    bob.wait_for_url("**/chat/*/")
    world.keep("chat", bob)
    submit = bob.get_by_role("button", name="Submit")
    expect(submit).to_be_visible(timeout=PATIENCE)
    bob.keyboard.press("6")
    with bob.expect_navigation():
        bob.keyboard.press("Enter")
    bob.get_by_label("Your next message").fill("And when will it be here?")
    with bob.expect_navigation():
        bob.keyboard.press("Control+Enter")
    expect(submit).to_be_visible(timeout=PATIENCE)


def sweep(world: World, carol: Page) -> None:
    """The same short policy run with three seeds, from where the first one started."""
    version = world.address["reward version"].strip("/").split("/")[-1]
    carol.goto(f"/runs/new/?project={SLUG}&kind=policy&reward_model={version}")
    world.keep("new run", carol)
    carol.locator("[name=model]").select_option(re.findall(r"a=(\d+)", world.address["diff"])[0])
    driving.start_run(carol, num_seeds=3, **SHORT)
    world.keep("sweep", carol)
    runs = carol.locator("tbody a[href^='/runs/']")
    expect(runs).to_have_count(3)
    numbers = [str(runs.nth(row).get_attribute("href")).strip("/").split("/")[-1] for row in range(3)]
    for number in numbers:
        carol.goto(f"/runs/{number}/")
        driving.wait_for_status(carol, timeout=PATIENCE)
    policy = world.address["policy"].strip("/").split("/")[-1]
    world.address["overlay"] = "/runs/overlay/?" + "&".join(f"run={number}" for number in [policy, *numbers[:1]])


def add_project(world: World, carol: Page, name: str, *, what: str) -> None:
    """A project of Carol's own with a few answers from a file, and tasks of that kind."""
    carol.goto("/projects/new/")
    carol.locator("main [name=name]").fill(name)
    carol.locator("[name=criteria]").fill(
        "Helpful | no help at all | just what was needed\nSafe | may do harm | harms nobody"
    )
    carol.locator("[name=guidelines]").fill("Which answer would help you most in your own kitchen?")
    carol.get_by_role("button", name="Create project").click()
    carol.wait_for_url(lambda url: "/projects/new/" not in url)
    slug = carol.url.split("/projects/")[1].split("/")[0]
    carol.goto(f"/projects/{slug}/import/")
    lines = "\n".join(map(json.dumps, LINES)).encode()
    carol.locator("input[type=file]").set_input_files(
        {"name": "answers.jsonl", "mimeType": "application/jsonl", "buffer": lines}
    )
    carol.get_by_role("button", name="Send and look at it").click()
    carol.get_by_role("button", name="Import", exact=True).click()
    expect(carol.locator("#progress .badge")).to_have_text("done")
    world.keep("import", carol)
    carol.goto(f"/projects/{slug}/tasks/new/?what={what}&overlap=1&priority=0&num_ranked=4")
    carol.get_by_role("button", name="Make them").click()
    world.address[what] = f"/projects/{slug}/annotate/"
