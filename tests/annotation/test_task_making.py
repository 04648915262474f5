"""/projects/<slug>/tasks/new/ : a preview with counts, then tasks of the answers that are there."""

from typing import Any

import pytest

from annotation import actions
from annotation.intake import NewResponse, add_prompt, add_responses
from annotation.models import AuditEntry, Making, Project, Task, User
from annotation.pairing import Asked, Counts, Pairing, count
from tests.annotation.conftest import browser_of, text_of

PATH = "/projects/support-replies/tasks/new/"


@pytest.fixture
def answered(project: Project) -> Project:
    """Two prompts with answers by three sources, two of which say the same to the second."""
    for question, texts in (("Where is my parcel?", "abc"), ("Refund?", "aac")):
        prompt = add_prompt(project, question)
        add_responses(prompt, [NewResponse(text, source) for source, text in zip("abc", texts, strict=True)])
    return project


@pytest.mark.parametrize(
    ("values", "num"),
    [
        ({"what": "all"}, 5),
        ({"what": "two", "source": "a", "against": "b"}, 1),
        ({"what": "two", "source": "c", "against": "a"}, 2),
        ({"what": "baseline", "source": "a"}, 3),
        ({"what": "rankings", "num_ranked": 3}, 1),
        ({"what": "all", "among": ["a", "b"]}, 1),
        ({"what": "all", "among": ["b", "c"]}, 2),
        ({"what": "baseline", "source": "a", "among": ["a", "c"]}, 2),
        ({"what": "rankings", "num_ranked": 3, "among": ["a", "b", "c"]}, 1),
    ],
)
def test_the_preview_counts_what_is_made(answered: Project, carol: User, values: dict[str, Any], num: int) -> None:
    values = {"overlap": 2, "priority": 3, **values}
    preview = text_of(carol, PATH, **values)
    assert f"<strong>{num}</strong> task" in preview
    assert not Task.objects.exists()
    page = browser_of(carol).post(PATH, values, follow=True).content.decode()
    assert f"{num} task{'s are' if num > 1 else ' is'} new" in page
    assert Task.objects.filter(overlap=2, priority=3).count() == num
    making = Making.objects.get()
    assert (making.num_tasks, making.created_by, making.kind) == (num, carol, values["what"])
    assert AuditEntry.objects.filter(verb="tasks.created").count() == 1
    again = browser_of(carol).post(PATH, values)
    assert again.status_code == 422 and "Nothing new" in again.content.decode()
    assert f"{num} exist" in text_of(carol, PATH, **values)
    assert Task.objects.count() == num and Making.objects.count() == 1


def test_only_what_is_missing_is_made(answered: Project, carol: User) -> None:
    actions.tasks.make_tasks(answered, Asked(pairing=Pairing.BASELINE, source="a"), by=carol, overlap=1, priority=0)
    assert count(answered, Asked(pairing=Pairing.ALL)) == Counts(num=5, num_prompts=2, num_known=3)
    actions.tasks.make_tasks(answered, Asked(pairing=Pairing.ALL), by=carol, overlap=1, priority=0)
    pairs = Task.objects.values_list("response_a", "response_b")
    assert len(set(pairs)) == len(pairs) == 5


def test_rankings_hold_a_prompts_answers_in_groups(project: Project, carol: User) -> None:
    """Of eight answers, groups of five: five and the three left; of six, five, and one is left out."""
    for question, num in (("eight", 8), ("six", 6), ("two", 2)):
        prompt = add_prompt(project, question)
        add_responses(prompt, [NewResponse(f"answer {number}", "s") for number in range(num)])
    making = actions.tasks.make_tasks(
        project, Asked(pairing=Pairing.RANKINGS, num_ranked=5), by=carol, overlap=1, priority=0
    )
    assert making.num_tasks == 3
    for task in Task.objects.all():
        assert list(task.candidates.values_list("response_id", flat=True)) == task.candidate_ids
        assert task.response_a_id == task.candidate_ids[0]
    assert sorted(len(task.candidate_ids) for task in Task.objects.all()) == [3, 5, 5]


def test_a_ranking_is_of_the_sources_that_were_chosen(project: Project, carol: User) -> None:
    prompt = add_prompt(project, "Where is my parcel?")
    add_responses(prompt, [NewResponse(f"answer of {source}", source) for source in "abcde"])
    asked = Asked(pairing=Pairing.RANKINGS, among=("b", "c", "e"), num_ranked=3)
    assert count(project, asked) == Counts(num=1, num_prompts=1, num_known=0)
    making = actions.tasks.make_tasks(project, asked, by=carol, overlap=1, priority=0)
    assert making.settings["among"] == ["b", "c", "e"]
    found = Task.objects.get().candidates.values_list("response__source", flat=True)
    assert sorted(found) == ["b", "c", "e"]
    assert count(project, Asked(pairing=Pairing.RANKINGS, among=("a", "b"))).num == 0


def test_ratings_need_criteria(answered: Project, carol: User) -> None:
    values = {"what": "ratings", "source": "a", "overlap": 1, "priority": 0}
    assert "no criteria to rate by" in text_of(carol, PATH, **values)
    actions.add_criterion(answered, key="helpful", name="Helpful")
    browser_of(carol).post(PATH, values)
    assert Task.objects.filter(kind="rating", response_a__source="a").count() == Task.objects.count() == 2


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"what": "two", "source": "a", "against": "a"}, "Choose two different sources."),
        ({"what": "baseline"}, "Choose the source"),
        ({"what": "all", "overlap": 0}, "greater than or equal to 1"),
        ({"what": "rankings", "num_ranked": 7}, "less than or equal to 6"),
        ({"what": "nonsense"}, "Select a valid choice"),
        ({"what": "rankings", "among": ["nobody"]}, "Select a valid choice"),
        ({"what": "baseline", "source": "a", "among": ["b", "c"]}, "Tick the sources that are compared, too"),
    ],
)
def test_tasks_asked_for_wrongly_get_a_sentence(
    answered: Project, carol: User, values: dict[str, Any], sentence: str
) -> None:
    values = {"overlap": 1, "priority": 0, **values}
    assert sentence in text_of(carol, PATH, **values)
    response = browser_of(carol).post(PATH, values)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not Task.objects.exists() and not Making.objects.exists()


def test_corrections_are_not_asked_about(answered: Project, carol: User) -> None:
    original = answered.prompts.first().responses.first()
    original.corrections.create(prompt=original.prompt, text="mended", source="correction", content_hash="m")
    assert count(answered, Asked(pairing=Pairing.ALL)).num == 5
