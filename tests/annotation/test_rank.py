"""The task page of a ranking: what it shows, what it takes, and what comes back when something is wrong."""

import uuid

import pytest

from annotation import actions, queue
from annotation.models import Assignment, Judgment, Project, User
from tests.annotation.conftest import browser_of, make_rankings, text_of

ANNOTATE = "/projects/support-replies/annotate/"


@pytest.fixture
def held(project: Project, alice: User) -> Assignment:
    make_rankings(project, 1, num=4)
    assignment = queue.claim(alice, project=project)
    assert assignment
    return assignment


def form_of(held: Assignment, *places: object, **also: str) -> dict[str, str]:
    chosen = {f"place_{number}": str(place) for number, place in enumerate(places, start=1)}
    return {"submission_key": str(uuid.uuid4()), **chosen, **also}


def test_it_works(held: Assignment, alice: User) -> None:
    page = text_of(alice, ANNOTATE)
    shown = [page.index(response.text) for response in held.shown]
    assert shown == sorted(shown)
    assert page.count('type="radio" name="place_4"') == 4 and "place_5" not in page
    assert "source" not in page  # who wrote an answer
    answer = browser_of(alice).post(f"/assignments/{held.pk}/judge/", form_of(held, 2, 1, 3, 3))
    assert (answer.status_code, answer["Location"]) == (302, ANNOTATE)
    assert {row.response_id: row.rank for row in Judgment.objects.get().ranks.all()} == dict(
        zip(held.order, (2, 1, 3, 3), strict=True)
    )


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        ((1, 2, 3), "Give answer D a place from 1 (best) to 4."),
        ((1, 2, 3, 5), "Give answer D a place from 1 (best) to 4."),
        ((1, "x", 3, 4), "Give answer B a place from 1 (best) to 4."),
    ],
)
def test_what_is_missing_gets_a_sentence_and_the_rest_stays(
    held: Assignment, alice: User, places: tuple[object, ...], sentence: str
) -> None:
    answer = browser_of(alice).post(f"/assignments/{held.pk}/judge/", form_of(held, *places, rationale="Typed."))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in page and "Typed." in page and page.count("checked") >= 2
    assert not Judgment.objects.exists()


def test_an_answer_is_corrected_in_its_place(held: Assignment, alice: User) -> None:
    texts = {f"correction_{number}": response.text for number, response in enumerate(held.shown, start=1)}
    texts["correction_3"] = "Better."
    browser_of(alice).post(f"/assignments/{held.pk}/judge/", form_of(held, 1, 2, 3, 4, **texts))
    correction = Judgment.objects.get().corrections.get()
    assert (correction.text, correction.parent) == ("Better.", held.shown[2])


def test_undo_brings_the_places_back(held: Assignment, alice: User, project: Project) -> None:
    browser_of(alice).post(f"/assignments/{held.pk}/judge/", form_of(held, 4, 3, 3, 1))
    actions.undo(alice, project=project)
    page = text_of(alice, ANNOTATE)
    for number, place in enumerate((3, 2, 2, 1), start=1):
        field = page[page.index(f'name="place_{number}" value="{place}"') :]
        assert "checked" in field[: field.index(">")]


def test_the_same_again_is_no_surprise(held: Assignment, alice: User) -> None:
    """Sent twice with a new key, as by two tabs: the second is told only when it says something else."""
    browser = browser_of(alice)
    browser.post(f"/assignments/{held.pk}/judge/", form_of(held, 1, 3, 3, 4))
    same = browser.post(f"/assignments/{held.pk}/judge/", form_of(held, 1, 2, 2, 3), follow=True).content.decode()
    assert "judged this task already" not in same
    other = browser.post(f"/assignments/{held.pk}/judge/", form_of(held, 2, 1, 3, 4), follow=True).content.decode()
    assert "judged this task already" in other
    assert Judgment.objects.count() == 1
