"""Consensus: by majority, weighted by reliability, decided by a reviewer; and how far each may be trusted."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from annotation import actions
from annotation.agreement import Table, table
from annotation.consensus import CONSENSUSES, Opinion, Reliability, Vote, decided, majority, reliability
from annotation.export import lines, preferences
from annotation.models import Assignment, Judgment, Project, Task, User, Verdict
from annotation.votes import Which, comparisons, fingerprint, pairs
from tests.annotation.conftest import make_tasks, member


def votes(*strengths: float) -> list[Vote]:
    return [Vote(strength, 1.0, person) for person, strength in enumerate(strengths)]


@pytest.mark.parametrize(
    ("said", "opinion"),
    [
        ((3, 1, -2), (1.0, 2.0)),
        ((-3, -1, 2), (0.0, -2.0)),
        ((0, 0, 3), (0.5, 0.0)),
        ((3, -3), (0.5, 0.0)),  # one against one: nobody prevails
        ((3, 0), (0.5, 0.0)),
        ((1, 2, 0, -3), (1.0, 1.5)),
        ((2,), (1.0, 2.0)),
    ],
)
def test_majority(said: Sequence[float], opinion: tuple[float, float]) -> None:
    assert majority(votes(*said)) == Opinion(*opinion)
    mirrored = majority(votes(*(-each for each in said)))
    assert mirrored == Opinion(1 - opinion[0], -opinion[1])


def test_a_weighted_majority() -> None:
    assert majority([Vote(3, 0.5), Vote(-1, 1.0), Vote(2, 0.4)]) == Opinion(0.0, -1.0)


def test_a_verdict_is_what_it_says() -> None:
    assert [decided(strength) for strength in (3, 0, -1)] == [Opinion(1, 3), Opinion(0.5, 0), Opinion(0, -1)]


def test_bayes_by_hand() -> None:
    """Prior 0.4, 0.2, 0.4. Person 0 (0.8) says first, person 1 (0.6) says second: 0.4·0.8·0.2 = 0.064 for the first,
    0.4·0.1·0.6 = 0.024 for the second, 0.2·0.1·0.2 = 0.004 for a tie: P = (0.064 + 0.002)/0.092.
    """
    known = Reliability(accuracy={0: 0.8, 1: 0.6}, mean=0.7, tie=0.2)
    found = known.opinion([Vote(3, 1, 0), Vote(-1, 1, 1)])
    assert found.target == pytest.approx(0.066 / 0.092)
    assert found.strength == 3
    assert known.opinion([Vote(1, 1, 7), Vote(-1, 1, 8)]) == pytest.approx((0.5, 0.0)), "two strangers alike reliable"


def planted(seed: int, *, accuracy: Sequence[float], num: int = 300) -> tuple[Table, Any]:
    """`num` pairs with a true side, judged by everybody; who errs says a tie or the other side."""
    generator = np.random.default_rng(seed)
    truth = generator.choice([-1, 1], num)
    wrong = np.where(generator.random((len(accuracy), num)) < 0.4, 0, -truth)
    said = np.where(generator.random((len(accuracy), num)) < np.asarray(accuracy)[:, None], truth, wrong)
    people, units = np.indices(said.shape).reshape(2, -1)
    return table(units=units, people=people, values=said.ravel()), truth


def right(data: Table, truth: Any, how: Any) -> float:
    """The share of pairs whose true side the opinion names; an undecided one is half right."""
    score = 0.0
    for unit, side in enumerate(truth):
        rows = data.where(data.units == unit)
        target = how([Vote(value, 1, int(person)) for value, person in zip(rows.values, rows.people, strict=True)])[0]
        score += 0.5 if abs(target - 0.5) < 1e-9 else float((target > 0.5) == (side > 0))
    return score / len(truth)


def test_weighted_beats_majority_where_one_of_three_clicks_at_random() -> None:
    gains = []
    for seed in range(5):
        data, truth = planted(seed, accuracy=[0.85, 0.8, 0.35])
        known = reliability(data)
        assert known.accuracy[2] < 0.5 < 0.7 < min(known.accuracy[0], known.accuracy[1])
        gains.append(right(data, truth, known.opinion) - right(data, truth, majority))
    assert min(gains) > 0 and np.mean(gains) > 0.03


def test_two_alike_and_wrong_outvote_the_third_in_both() -> None:
    """Nobody's gold is known to either: why gold accuracy stands beside every consensus."""
    data, truth = planted(1, accuracy=[0.9, 0.1, 0.1])
    assert right(data, truth, majority) < 0.5
    assert right(data, truth, reliability(data).opinion) < 0.5


def test_people_who_judge_alone_do_not_count_as_perfect() -> None:
    data, _truth = planted(2, accuracy=[0.8, 0.8, 0.8])
    alone = table(
        units=[*data.units, *range(1000, 1200)], people=[*data.people, *[9] * 200], values=[*data.values, *[1.0] * 200]
    )
    known = reliability(alone)
    assert 9 not in known.accuracy
    assert known.of(9) == known.mean < 0.9


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (table(units=[1, 2], people=[1, 2], values=[1, 1]), "No two people judged the same pair"),
        (table(units=[1, 1], people=[1, 2], values=[1, 1]), "All judgments are the same"),
    ],
)
def test_why_there_is_no_reliability(data: Table, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        reliability(data)


# --- in the export ----------------------------------------------------------------------------------------------


def said(task: Task, user: User, strength: int) -> Judgment:
    """A judgment put in as it would be: positive when response_a is better."""
    preferred = None if strength == 0 else task.response_a if strength > 0 else task.response_b
    assignment = Assignment.objects.create(
        task=task, annotator=user, status="judged", is_swapped=False, expires_at="2026-01-01T00:00Z"
    )
    Task.objects.filter(pk=task.pk).update(num_judged=task.judgments.count() + 1)
    return Judgment.objects.create(
        task=task, annotator=user, assignment=assignment, preferred=preferred, strength=abs(strength)
    )


@pytest.fixture
def judged(project: Project) -> list[Task]:
    """Forty pairs by three people; the third is at random. Truth: the first answer is better in even pairs."""
    people = [member(project, name) for name in ("ann", "ben", "cat")]
    tasks = make_tasks(project, 40, overlap=3)
    generator = np.random.default_rng(5)
    for number, task in enumerate(tasks):
        truth = 2 if number % 2 == 0 else -2
        for user, accuracy in zip(people, (0.95, 0.9, 0.3), strict=True):
            said(task, user, truth if generator.random() < accuracy else -truth)
    return tasks


def targets(project: Project, **options: Any) -> list[float]:
    return [preference.target for preference in preferences(project, origins=["comparison"], **options)]


def test_votes_majority_and_weighted_in_the_export(project: Project, judged: list[Task]) -> None:
    share, most, weighted = (targets(project, consensus=consensus) for consensus in CONSENSUSES)
    assert len(share) == len(most) == len(weighted) == 40
    assert set(most) == {0.0, 1.0} and len(set(share)) > 2
    assert [(p > 0.5) for p in share] == [(p > 0.5) for p in most]
    assert all(0 < p < 1 for p in weighted)
    truth = [number % 2 == 0 for number in range(40)]
    assert sum((p > 0.5) == first for p, first in zip(weighted, truth, strict=True)) >= sum(
        (p > 0.5) == first for p, first in zip(most, truth, strict=True)
    )


def test_a_verdict_wins_over_the_votes_but_does_not_change_them(project: Project, judged: list[Task]) -> None:
    Verdict.objects.create(task=judged[0], preferred=judged[0].response_b, strength=3, cause="mistake")
    Verdict.objects.create(task=judged[1], strength=0, cause="ambiguous")
    before = targets(project)
    for consensus in ("majority", "weighted"):
        found = list(preferences(project, origins=["comparison"], consensus=consensus))
        assert [(each.target, each.strength, each.is_decided) for each in found[:2]] == [
            (0.0, -3, True),
            (0.5, 0, True),
        ]
    assert before[0] > 0.5 and targets(project)[:2] == before[:2]
    decided_lines = [
        line for line in lines(project, format="preferences", consensus="majority") if "is_decided" in line
    ]
    assert len(decided_lines) == 1 and decided_lines[0]["strength"] == 3


def test_a_verdict_on_a_rating_replaces_everybody_s_score(project: Project, alice: User) -> None:
    criterion = actions.add_criterion(project, key="helpful", name="Helpful", scale_max=5)
    first = make_tasks(project, 1, kind="rating")[0]
    other = first.prompt.responses.exclude(pk=first.response_a_id).get()
    second = project.tasks.create(prompt=first.prompt, kind="rating", response_a=other)
    for task, value in ((first, 2), (second, 4)):
        assignment = Assignment.objects.create(
            task=task, annotator=alice, status="judged", is_swapped=False, expires_at="2026-01-01T00:00Z"
        )
        judgment = Judgment.objects.create(task=task, annotator=alice, assignment=assignment)
        judgment.ratings.create(criterion=criterion, response=task.response_a, value=value)
        Task.objects.filter(pk=task.pk).update(num_judged=1)
    assert [p.target for p in preferences(project, consensus="majority")] == [0.0]
    Verdict.objects.create(task=first, ratings={"helpful": 5}, cause="mistake")
    found = list(preferences(project, consensus="majority"))
    assert [(each.target, each.strength, each.is_decided) for each in found] == [(1.0, 0.75, False)]
    Verdict.objects.create(task=second, ratings={"helpful": 5}, cause="mistake")
    assert [(each.target, each.is_decided) for each in preferences(project, consensus="majority")] == [(0.5, True)]
    assert [each.target for each in preferences(project)] == [0.0]


def test_a_correction_stays_better_than_what_it_corrects(project: Project, judged: list[Task]) -> None:
    judgment = Judgment.objects.filter(task=judged[0]).earliest("pk")
    judgment.corrections.create(
        prompt=judged[0].prompt, text="Better.", source="correction", content_hash="x", parent=judged[0].response_a
    )
    for consensus in CONSENSUSES:
        assert [each.target for each in preferences(project, origins=["correction"], consensus=consensus)] == [0.0]


def test_the_command_takes_the_choice_and_says_when_it_cannot(project: Project, judged: list[Task]) -> None:
    out = io.StringIO()
    command = ("export_data", "--project", project.slug, "--format", "preferences")
    call_command(*command, "--consensus", "weighted", stdout=out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(rows) == 40 and all(0.5 < row["target"] < 1 for row in rows)
    Judgment.objects.exclude(annotator__username="ann").update(is_current=False)
    with pytest.raises(CommandError, match="No two people judged the same pair"):
        call_command(*command, "--consensus", "weighted", stdout=out)


# --- what is read from the database -----------------------------------------------------------------------------


def test_judgments_of_one_pair_meet_in_either_order_and_from_any_import(project: Project) -> None:
    """The same two texts came in twice, under other sources and in the other order of ids."""
    ann, ben = member(project, "ann"), member(project, "ben")
    task = make_tasks(project, 1, overlap=2)[0]
    assert task.response_b
    again = [
        task.prompt.responses.create(text=each.text, source="elsewhere", content_hash=each.content_hash)
        for each in (task.response_b, task.response_a)
    ]
    twin = project.tasks.create(prompt=task.prompt, kind="comparison", response_a=again[0], response_b=again[1])
    said(task, ann, 3)
    said(twin, ben, -1)
    found = comparisons(project)
    assert len(found) == 2 and len(set(found.units)) == 1
    assert set(found.classes) in ({1.0}, {-1.0}), "both preferred the same text"
    assert sorted(abs(found.values)) == [1, 3]


def test_only_what_counts_is_read(project: Project, judged: list[Task]) -> None:
    people = User.objects.in_bulk(field_name="username")
    everything = comparisons(project)
    assert len(everything) == 120 and len(pairs(project)) == 120
    mark = fingerprint(project)
    Judgment.objects.filter(task=judged[0], annotator=people["ann"]).update(is_current=False)
    assert len(comparisons(project)) == 119 and fingerprint(project) != mark
    Task.objects.filter(pk=judged[1].pk).update(control="gold")
    assert len(comparisons(project)) == 116, "a gold task measures people, not answers"
    User.objects.filter(username="cat").update(is_simulated=True)
    assert len(comparisons(project, Which(by="people"))) == 116 - 39
    assert len(comparisons(project, Which(by="simulated"))) == 39
