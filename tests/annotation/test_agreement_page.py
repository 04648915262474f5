"""/projects/<slug>/agreement/ : the figures, what they are taken apart by, why they are missing, their files."""

from __future__ import annotations

import csv
import datetime
import io
import uuid
from typing import Any

import numpy as np
import pytest
from django.core.cache import cache
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from annotation import actions
from annotation.agreement import agreement
from annotation.gold_accuracy import gold_accuracy
from annotation.models import Assignment, Gold, Judgment, Project, Rank, Task, User
from annotation.votes import ALL, Voters, Which, comparisons, rankings
from tests.annotation.conftest import browser_of, make_rankings, make_tasks, member, text_of
from tests.annotation.test_consensus import said
from tests.annotation.test_gold import lend

PATH = "/projects/support-replies/agreement/"


@pytest.fixture(autouse=True)
def nothing_kept(db: None) -> None:
    """Primary keys come again in each test; what was kept under them must not."""
    cache.clear()


@pytest.fixture
def people(project: Project) -> list[User]:
    return [member(project, name) for name in ("ann", "ben", "cat")]


@pytest.fixture
def judged(project: Project, people: list[User]) -> list[Task]:
    """Thirty pairs by two people of three in turn, who agree about four times in five."""
    tasks = make_tasks(project, 30, overlap=3)
    generator = np.random.default_rng(7)
    for number, task in enumerate(tasks):
        truth = int(generator.choice([-2, 2]))
        for user in (people[number % 3], people[(number + 1) % 3]):
            said(task, user, truth if generator.random() < 0.9 else -truth)
    return tasks


def table_of(user: User, name: str, **values: Any) -> list[dict[str, str]]:
    response = browser_of(user).get(PATH + "csv/", {"table": name, **values})
    assert response.status_code == 200 and response["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.getvalue().decode())))


def test_the_page_shows_what_the_functions_say(project: Project, judged: list[Task], bob: User) -> None:
    figures = agreement(comparisons(project))
    assert figures.nominal.value is not None
    page = text_of(bob, PATH)
    assert f"<b>{figures.nominal.value:.2f}</b>" in page
    (row,) = table_of(bob, "overall")
    assert row["subject"] == "Comparisons"
    assert float(row["alpha_nominal"]) == figures.nominal.value
    assert (row["questions"], row["judgments"], row["people"]) == ("30", "60", "3")
    pairs = table_of(bob, "pairs")
    assert [(each["person"], each["other_person"], each["questions"]) for each in pairs] == [
        ("ann", "ben", "10"),
        ("ann", "cat", "10"),
        ("ben", "cat", "10"),
    ]
    assert len(table_of(bob, "periods")) == 1


def test_why_there_is_no_figure_stands_on_the_page(project: Project, people: list[User], bob: User) -> None:
    assert "Agreement is measured on tasks that two or more people judge" in text_of(bob, PATH)
    tasks = make_tasks(project, 3, overlap=2)
    assert "Nobody has judged anything here yet." in text_of(bob, PATH)
    said(tasks[0], people[0], 2)
    assert "Only one person has judged" in text_of(bob, PATH)
    said(tasks[1], people[1], 2)
    assert "No question was judged by two people" in text_of(bob, PATH)
    said(tasks[0], people[1], 2)
    assert "Everybody said the same every time" in text_of(bob, PATH)


def test_a_figure_follows_the_judgments(project: Project, judged: list[Task], bob: User) -> None:
    before = table_of(bob, "overall")
    undone = Judgment.objects.filter(task=judged[0]).latest("pk")
    actions.undo(undone.annotator, project=project)
    after = table_of(bob, "overall")
    assert int(before[0]["questions"]) == 30 and int(after[0]["questions"]) == 29


def test_simulated_labels_stand_apart(project: Project, judged: list[Task], people: list[User], bob: User) -> None:
    User.objects.filter(pk__in=[people[0].pk, people[1].pk]).update(is_simulated=True)
    assert table_of(bob, "overall")[0]["questions"] == "0", "one person is left among people"
    assert table_of(bob, "overall", by="simulated")[0]["questions"] == "10"
    assert table_of(bob, "overall", by="all")[0]["questions"] == "30"
    assert "simulated" in text_of(bob, PATH, by="all")
    User.objects.filter(pk=people[2].pk).update(is_simulated=True)
    assert table_of(bob, "overall")[0]["questions"] == "30", "where nobody else judged, they are shown"


def test_only_the_last_days(project: Project, judged: list[Task], bob: User) -> None:
    old = timezone.now() - datetime.timedelta(days=20)
    Judgment.objects.filter(task__in=judged[:10]).update(created_at=old)
    assert table_of(bob, "overall", days="7")[0]["questions"] == "20"
    assert table_of(bob, "overall", days="30")[0]["questions"] == "30"
    assert len(table_of(bob, "periods")) == 2


def test_nonsense_in_the_address_is_the_usual(project: Project, judged: list[Task], bob: User) -> None:
    usual = text_of(bob, PATH)
    for values in ({"by": "x"}, {"days": "²"}, {"subject": "criterion-²"}, {"subject": "\0"}):
        assert f"<b>{agreement(comparisons(project)).nominal.value:.2f}</b>" in text_of(bob, PATH, **values)
    assert "Comparisons" in usual
    assert table_of(bob, "nonsense") == table_of(bob, "overall")


def rated(project: Project, people: list[User]) -> None:
    """Two answers to each of ten prompts on one criterion; cat rates two lower, and orders as the others do."""
    criterion = actions.add_criterion(project, key="helpful", name="Helpful", scale_max=9)
    generator = np.random.default_rng(3)
    for first in make_tasks(project, 10, kind="rating", overlap=3):
        other = first.prompt.responses.exclude(pk=first.response_a_id).get()
        second = project.tasks.create(prompt=first.prompt, kind="rating", response_a=other, overlap=3)
        for task in (first, second):
            level = int(generator.integers(3, 10))
            for user, lower in zip(people, (0, 0, 2), strict=True):
                assignment = Assignment.objects.create(
                    task=task, annotator=user, status="judged", is_swapped=False, expires_at="2026-01-01T00:00Z"
                )
                judgment = Judgment.objects.create(task=task, annotator=user, assignment=assignment)
                judgment.ratings.create(criterion=criterion, response=task.response_a, value=level - lower)


def test_a_strict_rater_is_told_from_one_who_disagrees(project: Project, people: list[User], bob: User) -> None:
    rated(project, people)
    page = text_of(bob, PATH)
    assert "Helpful" in page and "Strict, or of another opinion?" in page
    strictness = table_of(bob, "severity")
    assert [row["person"] for row in strictness] == ["cat", "ann", "ben"]
    assert float(strictness[0]["offset"]) == -2 and float(strictness[1]["offset"]) == 1
    assert float(table_of(bob, "overall")[0]["alpha_ordinal"]) < 0.9


def test_rankings_are_measured_by_their_pairs(project: Project, people: list[User]) -> None:
    prompt = make_tasks(project, 1, is_withdrawn=True)[0].prompt
    third = prompt.responses.create(text="Third.", source="s", content_hash="third")
    answers = [*prompt.responses.exclude(pk=third.pk).order_by("pk"), third]
    ids = [answer.pk for answer in answers]
    task = project.tasks.create(prompt=prompt, kind="ranking", response_a=answers[0], candidate_ids=ids, overlap=2)
    for user, places in zip(people, ([1, 2, 3], [1, 3, 2]), strict=False):
        assignment = Assignment.objects.create(
            task=task, annotator=user, status="judged", is_swapped=False, expires_at="2026-01-01T00:00Z"
        )
        judgment = Judgment.objects.create(task=task, annotator=user, assignment=assignment)
        for answer, place in zip(answers, places, strict=True):
            judgment.ranks.create(response=answer, rank=place)
    found = agreement(rankings(project))
    assert found.num_units == 3 and found.percent.value == pytest.approx(2 / 3)


def test_a_consensus_is_held_against_gold(project: Project, people: list[User], judged: list[Task], bob: User) -> None:
    """Two of three are wrong on every gold task: the majority is, and so it says."""
    for number in range(4):
        task = Task.objects.get(pk=judged[number].pk)
        Judgment.objects.filter(task=task).delete()
        Assignment.objects.filter(task=task).delete()
        Task.objects.filter(pk=task.pk).update(control="gold", num_judged=0)
        Gold.objects.create(task=task, preferred=task.response_a)
        for user, strength in zip(people, (3, -1, -2), strict=True):
            said(task, user, strength)
    found = gold_accuracy(project, ALL)
    (compared,) = found.kinds
    assert (compared.kind, compared.votes.right, compared.votes.num) == ("comparison", 4, 12)
    assert (compared.together.right, compared.together.num) == (0, 4)
    assert compared.weighted is not None and compared.weighted.num == 4
    by_name = {people_.id: people_.gold for people_ in found.people}
    assert (by_name[people[0].pk].right, by_name[people[1].pk].right) == (4, 0)
    page = text_of(bob, PATH + "consensus/")
    assert "How right is a consensus?" in page and "Weighted by reliability" in page
    fragment = browser_of(bob).get(PATH + "consensus/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in fragment and "Majority" in fragment
    only_simulated = gold_accuracy(project, Which(by=Voters.SIMULATED))
    assert not only_simulated.kinds and "No two people judged the same pair" in only_simulated.why_not


def test_gold_rankings_and_ratings_are_held_against_together_too(project: Project, people: list[User]) -> None:
    """Of three people two put the best first; each range is met by two, and by the median of all."""
    (ranking,) = make_rankings(project, 1, control="gold", overlap=Task.EVERYBODY)
    (rating,) = make_tasks(project, 1, kind="rating", control="gold", overlap=Task.EVERYBODY)
    criteria = [actions.add_criterion(project, key=key, name=key) for key in ("helpful", "kind")]
    Gold.objects.create(task=ranking, preferred_id=ranking.candidate_ids[0])
    Gold.objects.create(task=rating, ratings={"helpful": [4, 5], "kind": [1, 2]})
    for user, places, values in zip(people, [(1, 2, 3), (1, 3, 2), (1, 1, 2)], [(5, 1), (4, 3), (2, 2)], strict=True):
        ranks = dict(zip(ranking.candidate_ids, places, strict=True))
        actions.judge(lend(user, ranking), by=user, submission_key=uuid.uuid4(), ranks=ranks)
        given = {criterion.pk: value for criterion, value in zip(criteria, values, strict=True)}
        actions.judge(lend(user, rating), by=user, submission_key=uuid.uuid4(), ratings=given)
    ranked, rated = gold_accuracy(project, ALL).kinds
    assert (ranked.kind, ranked.votes.right, ranked.votes.num) == ("ranking", 2, 3), "a shared place is not the best"
    assert (ranked.together.right, ranked.together.num) == (1, 1)
    assert (rated.kind, rated.votes.right, rated.votes.num, rated.weighted) == ("rating", 1, 3, None)
    assert (rated.together.right, rated.together.num) == (1, 1), "the medians 4 and 2 are right, though one person is"
    own = {person.id: (person.gold.right, person.gold.num) for person in gold_accuracy(project, ALL).people}
    assert own == {people[0].pk: (2, 2), people[1].pk: (1, 2), people[2].pk: (0, 2)}
    Rank.objects.filter(judgment__annotator=people[1]).update(rank=1)
    ranked = gold_accuracy(project, ALL).kinds[0]
    assert (ranked.votes.right, ranked.together.right) == (1, 0), "over the second answer most see a tie"


def test_queries_do_not_grow_with_the_judgments(
    project: Project, judged: list[Task], bob: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    browser = browser_of(bob)
    with django_assert_max_num_queries(36):  # the cache is a table too: keeping the figures takes some
        browser.get(PATH)
    with django_assert_max_num_queries(20):
        browser.get(PATH)
    with django_assert_max_num_queries(26):
        browser.get(PATH + "consensus/")
