"""Agreement and adjudication in a real browser: by keyboard, in both themes, on a phone."""

import pytest
from playwright.sync_api import expect

from annotation import actions
from annotation.models import Project, Role, Task, User, Verdict
from tests.annotation.test_adjudicate import ranking_task, rating_task
from tests.annotation.test_consensus import said
from tests.browser.axe import check
from tests.browser.conftest import OpenPage, person
from tests.browser.test_accessibility import THERE


@pytest.fixture
def bob(project: Project) -> User:
    return person(project, "bob", Role.REVIEWER)


@pytest.fixture
def disputed(project: Project) -> list[Task]:
    """Three of the fourteen comparisons, on which two people disagree less and less."""
    ann, ben = person(project, "ann"), person(project, "ben")
    tasks = list(project.tasks.order_by("pk")[:3])
    project.tasks.update(overlap=2)
    for task, strength in zip(tasks, (3, 2, 1), strict=True):
        said(task, ann, strength)
        said(task, ben, -strength)
    return tasks


def test_three_disagreements_by_keyboard_alone(
    open_page: OpenPage, project: Project, bob: User, disputed: list[Task]
) -> None:
    page = open_page(bob)
    page.goto(THERE + "adjudicate/")
    expect(page.get_by_text("Disagreement 1 of 3")).to_be_visible()
    page.keyboard.press("7")
    page.keyboard.press("o")
    page.keyboard.press("n")
    page.keyboard.type("Which tone is meant?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Disagreement 1 of 2")).to_be_visible()
    first = Verdict.objects.get(task=disputed[0])
    assert (first.preferred_id, first.strength) == (disputed[0].response_b_id, 3)
    assert (first.cause, first.note) == ("guideline_gap", "Which tone is meant?")

    page.keyboard.press("s")
    expect(page.get_by_text("Disagreement 2 of 2")).to_be_visible()
    page.keyboard.press("x")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Disagreement 1 of 1")).to_be_visible()
    assert Verdict.objects.get(task=disputed[2]).both_bad

    page.keyboard.press("u")
    expect(page.get_by_text("Decided by bob")).to_be_visible()
    page.keyboard.press("t")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Disagreement 1 of 1")).to_be_visible()
    changed = Verdict.objects.get(task=disputed[2])
    assert (changed.strength, changed.both_bad, changed.cause) == (0, False, "ambiguous")


def test_an_incomplete_verdict_is_not_sent(
    open_page: OpenPage, project: Project, bob: User, disputed: list[Task]
) -> None:
    page = open_page(bob)
    page.goto(THERE + "adjudicate/")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Disagreement 1 of 3")).to_be_visible()
    assert not Verdict.objects.exists()


def test_with_something_to_show_axe_finds_nothing(
    open_page: OpenPage, project: Project, bob: User, disputed: list[Task]
) -> None:
    ann, ben = (User.objects.get(username=name) for name in ("ann", "ben"))
    other = actions.create_project("Others", by=None)
    for user in (ann, ben, bob):
        actions.add_member(other, user=user, role=Role.REVIEWER)
    rating_task(other, [ann, ben], {"helpful": 1}, {"helpful": 5})
    third = actions.create_project("Third", by=None)
    actions.add_member(third, user=bob, role=Role.REVIEWER)
    ranking_task(third, [ann, ben], [1, 2, 3], [3, 2, 1])
    actions.adjudicate(disputed[1], by=bob, seen="", cause="mistake", strength=0, note="Both say the same.")
    page = open_page(bob)
    for path in (
        "agreement/",
        "agreement/consensus/",
        "adjudicate/",
        f"adjudicate/{disputed[1].pk}/",
        "adjudicate/decided/",
    ):
        page.goto(THERE + path)
        page.wait_for_load_state("networkidle")
        for details in page.locator("main details").all():
            details.evaluate("each => each.open = true")
        check(page)
    for slug in ("others", "third"):
        for path in ("agreement/", "adjudicate/"):
            page.goto(f"/projects/{slug}/{path}")
            page.wait_for_load_state()
            check(page)


def test_without_javascript_a_verdict_is_a_form(
    open_page: OpenPage, project: Project, bob: User, disputed: list[Task]
) -> None:
    page = open_page(bob, javascript=False)
    page.goto(THERE + "adjudicate/")
    page.locator("[name=choice][value='-2']").check(force=True)
    page.get_by_label("somebody made a mistake").check()
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_text("Disagreement 1 of 2")).to_be_visible()
    assert Verdict.objects.get().preferred == disputed[0].response_a


def test_the_consensus_comes_by_itself(open_page: OpenPage, bob: User, disputed: list[Task]) -> None:
    """Apart from the page, since the first one of a process loads its libraries for seconds."""
    page = open_page(bob)
    page.goto(THERE + "agreement/")
    expect(page.get_by_role("heading", name="How right is a consensus?")).to_be_visible()
    expect(page.get_by_text("Nobody has judged a gold task yet.")).to_be_visible()
