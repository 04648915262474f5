"""Which pages are photographed: a few for README and docs/, and all of them for whoever wants to look at them."""

from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect

from docs.screenshots.camera import Camera
from docs.screenshots.world import SLUG, World

DASHBOARD = f"/dashboard/?project={SLUG}"
LAPTOP = (1200, 760)


def take_chosen(camera: Camera, world: World, folder: Path) -> None:
    """Those of README and docs/, each in one look."""
    there, project = world.address, f"/projects/{SLUG}"
    shots: list[tuple[str, str, str, dict[str, object]]] = [
        ("comparison", "alice", f"{project}/annotate/", {"size": (1200, 560), "first": choose}),
        ("agreement", "bob", f"{project}/agreement/", {"size": LAPTOP}),
        ("dashboard", "carol", DASHBOARD, {"size": (1200, 640)}),
        ("dashboard-zh", "carol", DASHBOARD, {"size": (1200, 640), "language": "zh", "theme": "dark"}),
        ("run", "carol", there["policy"], {"size": LAPTOP, "first": to_curves}),
        ("sweep", "carol", there["sweep"], {"size": LAPTOP, "first": to_curves}),
        ("reward", "carol", there["reward"], {"size": LAPTOP, "first": to_report}),
        ("diff", "carol", there["diff"] + "&order=kl", {"size": LAPTOP, "first": to_tokens}),
        ("review", "bob", there["vote"], {"size": (1200, 480)}),
    ]
    for name, person, path, look in shots:
        camera.take(person, path, folder / f"{name}.webp", **look)  # type: ignore[arg-type]


def choose(page: Page) -> None:
    """The choice that a person would make: the kinder one. The sides are drawn by lot."""
    is_left_kind = "sorry" in page.locator(".answers > *").first.inner_text().lower()
    page.keyboard.press("2" if is_left_kind else "6")


def to_curves(page: Page) -> None:
    scroll_to(page, page.locator("h2", has_text="Curves").first)


def to_report(page: Page) -> None:
    scroll_to(page, page.locator("#progress h2").first)


def to_tokens(page: Page) -> None:
    pair = page.locator(".diffs > li").first
    for tokens in pair.locator(".tokens > summary").all():
        tokens.click()
    expect(pair.locator(".heat").first).to_be_visible()
    scroll_to(page, pair)


def scroll_to(page: Page, place: object) -> None:
    place.evaluate("(e) => scrollBy({ top: e.getBoundingClientRect().top - 16, behavior: 'instant' })")  # type: ignore[attr-defined]


def every_page(world: World) -> Iterator[tuple[str, str, str]]:
    """Person, name and address of each page that matters, in the order of the loop."""
    for number, (person, name, path) in enumerate(pages(world.address), start=1):
        yield person, f"{number:02}-{name.replace(' ', '-')}", path


def pages(there: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    project = f"/projects/{SLUG}"
    yield "alice", "home", "/"
    yield "alice", "comparison", f"{project}/annotate/"
    yield "alice", "own judgments", f"{project}/judgments/"
    yield "alice", "guidelines", f"{project}/guidelines/"
    yield "alice", "keys", "/account/keys/"
    yield "alice", "account", "/account/"
    yield "carol", "ranking", there["rankings"]
    yield "carol", "rating", there["ratings"]
    yield "carol", "home of an admin", "/"
    of_project = ("tasks", "tasks/new", "gold", "people", "agreement", "agreement/consensus", "leaderboard")
    yield "carol", "project", f"{project}/"
    for name in (*of_project, "adjudicate", "import", "export", "settings", "invitations", "webhooks", "audit"):
        yield "carol", name.replace("/", " "), f"{project}/{name}/"
    yield "carol", "imported", there["import"]
    yield "carol", "tokens", "/account/tokens/"
    yield "carol", "dashboard", DASHBOARD
    yield "carol", "freeze", f"{project}/freeze/"
    yield "carol", "runs", "/runs/"
    for name in ("new run", "reward", "policy", "sweep", "overlay", "snapshot"):
        yield "carol", name, there[name]
    yield "carol", "models", "/models/"
    for name in ("reward", "policy"):
        yield "carol", f"{name} version", there[f"{name} version"]
        yield "carol", f"{name} card", there[f"{name} version"] + "card/"
    for name in ("diff", "new round", "round", "answer", "task"):
        yield "carol", name, there[name]
    yield "bob", "diff token by token", there["diff"] + "&order=kl"
    for name in ("review", "voted", "vote", "chats", "chat"):
        yield "bob", name, there[name]
