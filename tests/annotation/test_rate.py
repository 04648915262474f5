"""The task page with a rating: one answer, every criterion."""

import uuid

import pytest

from annotation import actions
from annotation.models import Assignment, Judgment, Project, Rating, User
from tests.annotation.conftest import browser_of, make_tasks

HTMX = {"HX-Request": "true"}


@pytest.fixture
def held(project: Project, alice: User) -> Assignment:
    actions.add_criterion(project, key="helpful", name="Helpful", low_anchor="no help", high_anchor="just right")
    actions.add_criterion(project, key="tone", name="Tone", scale_max=7)
    make_tasks(project, 2, kind="rating")
    browser_of(alice).get(f"/projects/{project.slug}/annotate/")
    return Assignment.objects.with_content().get()


def answers(held: Assignment, *values: int) -> dict[str, object]:
    fields = [f"criterion_{criterion.pk}" for criterion in held.task.project.criteria.all()]
    return {"submission_key": str(uuid.uuid4()), **dict(zip(fields, values, strict=False))}


def test_it_works(held: Assignment, alice: User) -> None:
    browser = browser_of(alice)
    page = browser.get("/projects/support-replies/annotate/").content.decode()
    for text in (held.left.text, "Helpful", "no help", "just right", "Tone"):
        assert text in page
    assert "checked" not in page and "both bad</span>" not in page
    reply = browser.post(f"/assignments/{held.pk}/judge/", answers(held, 4, 7), headers=HTMX)
    assert reply.status_code == 200
    assert sorted(Rating.objects.values_list("criterion__key", "value")) == [("helpful", 4), ("tone", 7)]
    assert Judgment.objects.get().strength is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [((4,), "Rate “Tone” from 1 to 7."), ((9, 1), "Rate “Helpful” from 1 to 5."), ((0, 1), "Rate “Helpful”")],
)
def test_every_criterion_within_its_scale(
    held: Assignment, alice: User, values: tuple[int, ...], sentence: str
) -> None:
    reply = browser_of(alice).post(f"/assignments/{held.pk}/judge/", answers(held, *values), headers=HTMX)
    assert reply.status_code == 422
    assert sentence in reply.content.decode()
    assert not Judgment.objects.exists()


def test_undo_brings_the_ratings_back(held: Assignment, alice: User) -> None:
    browser = browser_of(alice)
    browser.post(f"/assignments/{held.pk}/judge/", answers(held, 4, 7), headers=HTMX)
    page = browser.post("/projects/support-replies/undo/", headers=HTMX).content.decode()
    assert page.count("checked") == 2
