"""What is said of a person's work: each figure counted by hand on a small world, the interval on simulated ones."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import actions, queue
from annotation.agreement.shares import share
from annotation.models import Assignment, Gold, Judgment, Project, Response, Task, User
from annotation.quality import Figure, Person, Sums, closely, clustered, people_of, whole_of
from annotation.views import gold
from tests.annotation.conftest import make_rankings, make_tasks, member


def say(user: User, task: Task, said: str, *, swapped: bool = False, **fields: object) -> Judgment:
    """The judgment as a row. said: a, b, or tie."""
    lent = Assignment.objects.create(
        task=task, annotator=user, status="judged", is_swapped=swapped, expires_at=timezone.now()
    )
    preferred = {"a": task.response_a, "b": task.response_b, "tie": None}[said]
    strength = None if task.kind != "comparison" else 2 if preferred else 0
    return Judgment.objects.create(
        task=task, annotator=user, assignment=lent, preferred=preferred, strength=strength, **fields
    )


def figures(person: Person) -> dict[str, tuple[float, float]]:
    """hits and trials of every figure that is defined."""
    return {figure.value: (found.right, found.num) for figure, found in person.shares.items() if found.num}


@pytest.fixture
def tasks(project: Project) -> list[Task]:
    return make_tasks(project, 6, overlap=5)


def test_agreement_is_with_the_majority_of_the_others(
    project: Project, tasks: list[Task], alice: User, bob: User, carol: User
) -> None:
    first, second, third, fourth = tasks[:4]
    for user, said in ((alice, "a"), (bob, "a"), (carol, "b")):
        say(user, first, said)
    for user, said in ((alice, "a"), (bob, "b"), (carol, "tie")):
        say(user, second, said)  # the others of each are at odds
    for user, said in ((alice, "tie"), (bob, "tie")):
        say(user, third, said)
    say(alice, fourth, "a")  # alone
    found = people_of(project)
    assert figures(found[alice.pk])["agreement"] == (1, 1), "of the first her others are at odds: a and b"
    assert figures(found[bob.pk])["agreement"] == (1, 1)
    assert figures(found[carol.pk])["agreement"] == (0, 1), "the others of the first both said a"


def test_people_are_held_against_people_and_programs_against_programs(
    project: Project, tasks: list[Task], alice: User, bob: User
) -> None:
    User.objects.filter(pk=bob.pk).update(is_simulated=True)
    say(alice, tasks[0], "a")
    say(bob, tasks[0], "a")
    assert "agreement" not in figures(people_of(project)[alice.pk])
    assert whole_of(project)[False][Figure.LEFT].num == whole_of(project)[True][Figure.LEFT].num == 1


def test_rankings_agree_pair_by_pair(project: Project, alice: User, bob: User) -> None:
    (task,) = make_rankings(project, 1, num=3, overlap=2)
    responses = [candidate.response for candidate in task.candidates.select_related("response")]
    for user, places in ((alice, (1, 2, 3)), (bob, (1, 3, 2))):
        judgment = say(user, task, "tie")
        for response, place in zip(responses, places, strict=True):
            judgment.ranks.create(response=response, rank=place)
    assert figures(people_of(project)[alice.pk])["agreement"] == (2, 3)


def test_ratings_near_the_mean_of_the_others(project: Project, alice: User, bob: User, carol: User) -> None:
    criterion = actions.add_criterion(project, key="helpful", name="Helpful")
    tasks = make_tasks(project, 2, kind="rating", overlap=3)
    for task, values in zip(tasks, ((5, 2, 3), (4, 4, 3)), strict=True):
        for user, value in zip((alice, bob, carol), values, strict=True):
            say(user, task, "tie").ratings.create(criterion=criterion, response=task.response_a, value=value)
    found = people_of(project)
    assert [figures(found[user.pk])["nearness"] for user in (alice, bob, carol)] == [(1, 2), (1, 2), (2, 2)]
    assert "left" not in figures(found[alice.pk])


def test_gold_of_every_kind(project: Project, alice: User) -> None:
    criterion = actions.add_criterion(project, key="helpful", name="Helpful")
    comparison, tie, missed = make_tasks(project, 3, control="gold")
    ranking, shared = make_rankings(project, 2, control="gold")
    (rating,) = make_tasks(actions.create_project("Elsewhere", by=None), 1, kind="rating", control="gold")
    Task.objects.filter(pk=rating.pk).update(project=project)
    Gold.objects.bulk_create(
        [
            *(Gold(task=task, preferred=task.response_a) for task in (comparison, missed, ranking, shared)),
            Gold(task=tie, preferred=None),
            Gold(task=rating, ratings={"helpful": [4, 5]}),
        ]
    )
    say(alice, comparison, "a")
    say(alice, missed, "tie")
    say(alice, tie, "tie", both_bad=True)
    say(alice, rating, "tie").ratings.create(criterion=criterion, response=rating.response_a, value=4)
    for task, places in ((ranking, (1, 2, 3)), (shared, (1, 1, 3))):
        judgment = say(alice, task, "tie")
        for candidate, place in zip(task.candidates.all(), places, strict=True):
            judgment.ranks.create(response=candidate.response, rank=place)
    assert figures(people_of(project)[alice.pk])["gold"] == (4, 6), "a shared first place is not the best"
    told = gold.rows_of(list(Gold.objects.select_related("task")))
    assert sum((row.right.value or 0) * row.right.num for row in told) == 4, "the page of gold tasks says the same"
    rating.judgments.get().ratings.update(value=3)
    assert figures(people_of(project)[alice.pk])["gold"] == (3, 6)
    assert "agreement" not in figures(people_of(project)[alice.pk])


def test_position_and_length_are_of_the_shown_side_and_the_true_length(
    project: Project, tasks: list[Task], alice: User
) -> None:
    Response.objects.filter(source="long answer").update(text="a much longer answer than the other one")
    say(alice, tasks[0], "a")  # left, shorter
    say(alice, tasks[1], "a", swapped=True)  # right, shorter
    say(alice, tasks[2], "b", swapped=True)  # left, longer
    say(alice, tasks[3], "tie")
    Response.objects.filter(pk=tasks[4].response_b_id).update(text=tasks[4].response_a.text)
    say(alice, tasks[4], "b")  # right, of one length
    assert figures(people_of(project)[alice.pk]) == {"left": (2, 4), "longer": (1, 3)}


def test_consistency_is_the_same_answer_to_the_repeat(project: Project, tasks: list[Task], alice: User) -> None:
    for task, once, again in ((tasks[0], "a", "a"), (tasks[1], "a", "b"), (tasks[2], "tie", "tie")):
        repeat = Task.objects.create(
            project=project, prompt=task.prompt, kind="comparison", response_a=task.response_a,
            response_b=task.response_b, control="repeat", repeat_of=task, reserved_for=alice,
        )  # fmt: skip
        say(alice, task, once)
        say(alice, repeat, again, swapped=True)
    found = people_of(project)[alice.pk]
    assert figures(found)["consistency"] == (2, 3)
    assert found.num_labels == 6, "all that a person did is their work"


def test_repeats_of_rankings_and_ratings(project: Project, alice: User) -> None:
    """A ranking's pairs said in the same order; ratings at most a step apart."""
    (ranking,), (rating,) = make_rankings(project, 1), make_tasks(project, 1, kind="rating")
    criteria = [actions.add_criterion(project, key=key, name=key) for key in ("helpful", "kind")]
    for task in (ranking, rating):
        again = Task.objects.create(
            project=project, prompt=task.prompt, kind=task.kind, response_a=task.response_a,
            candidate_ids=task.candidate_ids, control="repeat", repeat_of=task, reserved_for=alice,
        )  # fmt: skip
        for asked, places, values in ((task, (1, 2, 2), (3, 3)), (again, (2, 1, 1), (4, 1))):
            judgment = say(alice, asked, "tie")
            if task is ranking:
                for pk, place in zip(task.candidate_ids, places, strict=True):
                    judgment.ranks.create(response_id=pk, rank=place)
            else:
                for criterion, value in zip(criteria, values, strict=True):
                    judgment.ratings.create(criterion=criterion, response=task.response_a, value=value)
    found = figures(people_of(project)[alice.pk])
    assert (found["consistency"], found["steadiness"]) == ((1, 3), (1, 2))


def test_work_counts_what_counts(project: Project, tasks: list[Task], alice: User, bob: User, carol: User) -> None:
    say(alice, tasks[0], "a", active_seconds=30.0, flags=["unsafe"])
    say(alice, tasks[1], "a", active_seconds=60.0)
    say(alice, tasks[2], "a")
    say(alice, tasks[3], "a", is_current=False, active_seconds=1000.0)
    held = queue.claim(bob, project=project)
    assert held
    actions.skip(held, by=bob, reason="unclear")
    found = people_of(project)
    alices = found[alice.pk]
    assert (alices.num_labels, alices.num_flagged, alices.active_seconds) == (3, 1, 90.0)
    assert alices.pace[:3] == (80.0, None, None), "three prompts are too few for an interval"
    assert (found[bob.pk].num_labels, found[bob.pk].num_skips, found[bob.pk].pace.value) == (0, 1, None)
    assert carol.pk not in found
    Task.objects.update(num_judged=1)
    actions.void_judgments(project, annotator=alice, by=carol, reason="x")
    assert (people_of(project)[alice.pk].num_labels, people_of(project)[alice.pk].num_voided) == (0, 3)


def test_weeks_without_a_label_are_there(project: Project, tasks: list[Task], alice: User, bob: User) -> None:
    monday = datetime.datetime(2026, 3, 2, 9, tzinfo=datetime.UTC)
    for weeks, task in ((0, tasks[0]), (0, tasks[1]), (2, tasks[2])):
        say(alice, task, "a", created_at=monday + datetime.timedelta(weeks=weeks, days=6, hours=14))
        say(bob, task, "a")
    seen = closely(project, alice)
    found = seen.weeks
    assert [(week.monday.isoformat(), week.num_labels) for week in found] == [
        ("2026-03-02", 2), ("2026-03-09", 0), ("2026-03-16", 1),
    ]  # fmt: skip
    assert [week.shares[Figure.AGREEMENT].num for week in found] == [2, 0, 1]
    assert (seen.work, seen.everybody) == (people_of(project)[alice.pk], whole_of(project)[False])
    assert seen.work.shares[Figure.AGREEMENT] != seen.everybody[Figure.AGREEMENT], "bob's are among everybody's"
    assert closely(project, member(project, "idle")).weeks == []


def test_a_handful_of_queries_however_many_people(project: Project) -> None:
    tasks = make_tasks(project, 12, overlap=12)
    for number in range(12):
        person = member(project, f"person {number}")
        for task in tasks:
            say(person, task, "ab"[number % 2])
    with CaptureQueriesContext(connection) as queries:
        assert len(people_of(project)) == 12
    assert len(queries) == 5


def test_with_one_trial_a_prompt_it_is_wilsons_interval() -> None:
    hits, num = 30, 40
    found = clustered(Sums(num, hits, num, hits, hits, num))
    plain = share(hits, num)
    assert found.value == plain.value == 0.75
    assert found.low == pytest.approx(plain.low, abs=0.004) and found.high == pytest.approx(plain.high, abs=0.004)
    assert clustered(Sums()).value is None


@pytest.mark.parametrize(("hits", "trials"), [(8, 8), (0, 8)])
def test_all_or_none_counts_each_prompt_once(hits: int, trials: int) -> None:
    found = clustered(Sums(trials, hits, 2, hits * hits // 2, hits * trials // 2, trials * trials // 2))
    plain = share(hits / 4, 2)
    assert (found.low, found.high) == (plain.low, plain.high)


def test_the_interval_holds_the_truth_where_trials_of_a_prompt_are_alike() -> None:
    """Ten alike trials of each of 60 prompts: 95 % of the intervals hold the truth, of plain ones half."""
    random = np.random.default_rng(0)
    covered, plain = 0, 0
    for _world in range(400):
        hits = 10 * (random.random(60) < 0.7)
        found = clustered(Sums(600, int(hits.sum()), 60, int((hits**2).sum()), int((hits * 10).sum()), 6000))
        naive = share(int(hits.sum()), 600)
        assert found.low is not None and found.high is not None and naive.low is not None and naive.high is not None
        covered += found.low <= 0.7 <= found.high
        plain += naive.low <= 0.7 <= naive.high
    assert covered >= 370 and plain <= 260


def test_undefined_figures_say_why(project: Project, alice: User) -> None:
    say(alice, make_tasks(project, 1)[0], "tie")
    found = people_of(project)[alice.pk].shares
    assert all(found[figure].value is None and figure.undefined.endswith(".") for figure in Figure)
