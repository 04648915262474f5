"""Targets by hand: soft targets of several people, ties, graded, weights; ratings and corrections as pairs."""

import math
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation import actions, export
from annotation.export.targets import Vote, grade, mean_strength, rating_score, target
from annotation.models import Assignment, Criterion, Judgment, Project, Task, User
from tests.annotation.conftest import make_tasks, member


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


class TestTargets:
    def test_one_choice(self) -> None:
        assert [grade(s, grading="choice", kappa=1) for s in (-3, -1, 0, 1, 3)] == [0, 0, 0.5, 1, 1]

    def test_one_graded_choice(self) -> None:
        """σ(0.5·2) = 0.731059, σ(−0.5·3) = 0.182426, a tie is 0.5."""
        assert grade(2, grading="graded", kappa=0.5) == pytest.approx(0.7310585786)
        assert grade(-3, grading="graded", kappa=0.5) == pytest.approx(0.1824255238)
        assert grade(0, grading="graded", kappa=0.5) == 0.5

    def test_three_people(self) -> None:
        """+3, tie, −1: (1 + 0.5 + 0) / 3 = 0.5 and (3 + 0 − 1) / 3 = 2/3. Twice +1 and once −2: 2/3 and 0."""
        votes = [Vote(3), Vote(0), Vote(-1)]
        assert target(votes, grading="choice", kappa=1) == 0.5
        assert mean_strength(votes) == pytest.approx(2 / 3)
        votes = [Vote(1), Vote(1), Vote(-2)]
        assert target(votes, grading="choice", kappa=1) == pytest.approx(2 / 3)
        assert mean_strength(votes) == 0

    def test_weights(self) -> None:
        """+2 by one of weight 3, −2 by one of weight 1: p = 3/4, mean strength (6 − 2) / 4 = 1."""
        votes = [Vote(2, 3.0), Vote(-2, 1.0)]
        assert target(votes, grading="choice", kappa=1) == 0.75
        assert mean_strength(votes) == 1
        graded = target(votes, grading="graded", kappa=1)
        assert graded == pytest.approx((3 * sigma(2) + sigma(-2)) / 4)

    def test_rating_scores(self) -> None:
        """4 of 5 is 0.75 and 7 of 7 is 1; with weights 2 and 1: (2·0.75 + 1) / 3 = 0.8333."""
        assert rating_score([(4, 5, 2.0), (7, 7, 1.0)]) == pytest.approx(2.5 / 3)
        assert rating_score([(1, 5, 1.0)]) == 0
        assert rating_score([(5, 5, -1.0)]) < rating_score([(1, 5, -1.0)]), "a criterion where less is better"

    @pytest.mark.parametrize("votes", [[], [Vote(1, 0.0)]])
    def test_nobody_said_anything(self, votes: list[Vote]) -> None:
        with pytest.raises(ValueError, match="weight above 0"):
            target(votes, grading="choice", kappa=1)

    def test_bad_settings(self) -> None:
        with pytest.raises(ValueError, match="choice or graded"):
            grade(1, grading="hard", kappa=1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="at least one criterion a weight"):
            rating_score([(1, 5, 0.0)])


@pytest.fixture
def people(project: Project) -> list[User]:
    return [member(project, name) for name in ("ann", "ben", "cat")]


def say(task: Task, user: User, **said: object) -> Judgment:
    """The user's judgment of this very task; `s` is its signed strength, positive when response_a is better."""
    if "s" in said:
        s = said.pop("s")
        said["strength"] = abs(s)
        said["preferred"] = None if s == 0 else task.response_a if s > 0 else task.response_b
    held = Assignment.objects.create(task=task, annotator=user, is_swapped=False, expires_at="2100-01-01T00:00Z")
    Task.objects.filter(pk=task.pk).update(num_leased=1)
    return actions.judge(held, by=user, submission_key=uuid.uuid4(), **said).judgment


class TestComparisons:
    def test_three_people_on_one_pair(self, project: Project, people: list[User]) -> None:
        """+3, +1, −2 → p = 2/3, s = 2/3; graded with κ = 1: (σ(3) + σ(1) + σ(−2)) / 3 = 0.600945."""
        (task,) = make_tasks(project, 1, overlap=3)
        said = [say(task, user, s=s) for user, s in zip(people, (3, 1, -2), strict=True)]
        (pair,) = export.preferences(project)
        assert pair.target == pytest.approx(2 / 3)
        assert pair.strength == pytest.approx(2 / 3)
        assert (pair.origin, pair.num_judgments, pair.num_simulated) == ("comparison", 3, 0)
        assert pair.judgment_ids == [judgment.pk for judgment in said]
        assert (pair.response_a_id, pair.response_b_id) == (task.response_a_id, task.response_b_id)
        assert (pair.text_a, pair.source_b) == (task.response_a.text, task.response_b.source)
        assert (pair.prompt_id, pair.messages) == (task.prompt_id, task.prompt.messages)
        (graded,) = export.preferences(project, grading="graded", kappa=1.0)
        assert graded.target == pytest.approx(0.6009452)
        (weighted,) = export.preferences(project, weights={people[2].pk: 2.0})
        assert weighted.target == pytest.approx(0.5)
        (without,) = export.preferences(project, weights={people[2].pk: 0.0})
        assert (without.target, without.num_judgments) == (1.0, 2)

    def test_both_bad_is_a_tie(self, project: Project, people: list[User]) -> None:
        (task,) = make_tasks(project, 1, overlap=2)
        say(task, people[0], both_bad=True)
        say(task, people[1], s=-1)
        (pair,) = export.preferences(project)
        assert (pair.target, pair.strength) == (0.25, -0.5)

    def test_only_what_counts(self, project: Project, people: list[User]) -> None:
        tasks = make_tasks(project, 2, overlap=2)
        say(tasks[0], people[0], s=1)
        say(tasks[1], people[0], s=1)
        actions.undo(people[0], project=project)
        User.objects.filter(pk=people[1].pk).update(is_simulated=True)
        say(tasks[0], people[1], s=-3)
        (pair,) = export.preferences(project)
        assert (pair.target, pair.num_judgments, pair.num_simulated) == (0.5, 2, 1)
        (pair,) = export.preferences(project, include_simulated=False)
        assert (pair.target, pair.num_judgments, pair.num_simulated) == (1.0, 1, 0)

    def test_nothing_is_nothing(self, project: Project) -> None:
        make_tasks(project, 2)
        assert list(export.preferences(project)) == []

    def test_the_number_of_queries_does_not_grow(
        self, project: Project, people: list[User], django_assert_max_num_queries: object
    ) -> None:
        for task in make_tasks(project, 30):
            say(task, people[0], s=1)
        with django_assert_max_num_queries(8):  # type: ignore[operator]
            assert len(list(export.preferences(project))) == 30


class TestRatingPairs:
    @pytest.fixture
    def criteria(self, project: Project) -> list[Criterion]:
        """Helpful counts twice, safe once."""
        return [
            actions.add_criterion(project, key="helpful", name="Helpful", scale_max=5, weight=2.0),
            actions.add_criterion(project, key="safe", name="Safe", scale_max=7, weight=1.0),
        ]

    @pytest.fixture
    def tasks(self, project: Project) -> list[Task]:
        """The two responses of one prompt, and one of another prompt."""
        pair, lone = make_tasks(project, 2)
        rated = [(pair.prompt, pair.response_a), (pair.prompt, pair.response_b), (lone.prompt, lone.response_a)]
        return [
            Task.objects.create(project=project, prompt=prompt, kind="rating", response_a=response, overlap=3)
            for prompt, response in rated
        ]

    def rate(self, task: Task, user: User, criteria: list[Criterion], helpful: int, safe: int) -> None:
        say(task, user, ratings={criteria[0].pk: helpful, criteria[1].pk: safe})

    def test_one_person_rated_both(
        self, project: Project, people: list[User], criteria: list[Criterion], tasks: list[Task]
    ) -> None:
        """a: (2·3/4 + 1·6/6) / 3 = 0.83333; b: (2·1/4 + 1·3/6) / 3 = 0.33333; s = 3·0.5 = 1.5."""
        self.rate(tasks[0], people[0], criteria, 4, 7)
        self.rate(tasks[1], people[0], criteria, 2, 4)
        self.rate(tasks[2], people[0], criteria, 5, 7)
        (pair,) = export.preferences(project)
        assert (pair.origin, pair.target, pair.strength) == ("rating", 1.0, pytest.approx(1.5))
        assert {pair.response_a_id, pair.response_b_id} == {task.response_a_id for task in tasks[:2]}
        assert pair.num_judgments == 2
        (graded,) = export.preferences(project, grading="graded", kappa=2.0)
        assert graded.target == pytest.approx(sigma(3.0))

    def test_a_strict_and_a_mild_rater_agree(
        self, project: Project, people: list[User], criteria: list[Criterion], tasks: list[Task]
    ) -> None:
        """Each is compared with themselves: ann says 2 > 1, ben 5 > 4, cat, who rated one only, has no vote."""
        for user, a, b in ((people[0], 2, 1), (people[1], 5, 4)):
            self.rate(tasks[0], user, criteria, a, 4)
            self.rate(tasks[1], user, criteria, b, 4)
        self.rate(tasks[1], people[2], criteria, 5, 7)
        (pair,) = export.preferences(project)
        assert (pair.target, pair.num_judgments) == (1.0, 4)

    def test_nobody_rated_both(
        self, project: Project, people: list[User], criteria: list[Criterion], tasks: list[Task]
    ) -> None:
        """ann gives a 1 and 1 (0); ben gives b 3 and 4 (0.5): one vote of −1.5."""
        self.rate(tasks[0], people[0], criteria, 1, 1)
        self.rate(tasks[1], people[1], criteria, 3, 4)
        (pair,) = export.preferences(project)
        assert (pair.target, pair.strength) == (0.0, pytest.approx(-1.5))

    def test_equal_sums_are_a_tie(
        self, project: Project, people: list[User], criteria: list[Criterion], tasks: list[Task]
    ) -> None:
        """2·2/4 + 0/6 = 2·1/4 + 3/6 = 1."""
        self.rate(tasks[0], people[0], criteria, 3, 1)
        self.rate(tasks[1], people[0], criteria, 2, 4)
        (pair,) = export.preferences(project)
        assert (pair.target, pair.strength) == (0.5, 0)

    def test_ratings(self, project: Project, people: list[User], criteria: list[Criterion], tasks: list[Task]) -> None:
        self.rate(tasks[0], people[0], criteria, 4, 7)
        rows = [(row.response_id, row.criterion, row.value, row.scale_max) for row in export.ratings(project)]
        response = tasks[0].response_a_id
        assert rows == [(response, "helpful", 4, 5), (response, "safe", 7, 7)]


class TestCorrections:
    def test_a_correction_is_better_and_is_a_demonstration(self, project: Project, people: list[User]) -> None:
        (task,) = make_tasks(project, 1)
        said = say(task, people[0], s=1, corrections={task.response_b_id: "Better words."})
        comparison, pair = export.preferences(project)
        assert (comparison.origin, pair.origin) == ("comparison", "correction")
        assert (pair.response_a_id, pair.text_b) == (task.response_b_id, "Better words.")
        assert (pair.target, pair.strength, pair.judgment_ids) == (0.0, -2.0, [said.pk])
        assert [row.origin for row in export.preferences(project, origins=["comparison"])] == ["comparison"]
        (correction,) = export.corrections(project)
        assert (correction.original, correction.text) == (task.response_b.text, "Better words.")
        assert (correction.annotator, correction.judgment_id) == ("ann", said.pk)
        (demonstration,) = export.lines(project, format="demonstrations")
        assert demonstration["messages"] == [
            *task.prompt.messages,
            {"role": "assistant", "content": "Better words."},
        ]

    def test_an_undone_correction_is_not_exported(self, project: Project, people: list[User]) -> None:
        (task,) = make_tasks(project, 1)
        say(task, people[0], s=1, corrections={task.response_b_id: "Better words."})
        actions.undo(people[0], project=project)
        assert list(export.corrections(project)) == list(export.preferences(project)) == []


def test_judgments_keep_what_was_shown(project: Project, people: list[User]) -> None:
    tasks = make_tasks(project, 2)
    said = [say(tasks[0], people[0], s=-2, rationale="Shorter."), say(tasks[1], people[1], s=0)]
    Assignment.objects.filter(pk=said[0].assignment_id).update(is_swapped=True)
    first, second = export.judgments(project)
    assert (first.id, first.preferred, first.strength, first.shown) == (said[0].pk, "b", 2, "ba")
    assert (first.annotator, first.is_simulated, first.rationale) == ("ann", False, "Shorter.")
    assert (second.preferred, second.strength, second.shown) == (None, 0, "ab")


def test_ratings_by_aspect_are_asked_for_alone(project: Project, people: list[User]) -> None:
    """Where there are none, no comparison is looked at: neither what it corrects nor what it rates."""
    for task in make_tasks(project, 3, overlap=1):
        say(task, people[0], strength=2, preferred=task.response_a)
    with CaptureQueriesContext(connection) as queries:
        assert list(export.lines(project, format="ultrafeedback")) == []
    assert not [each for each in queries if "corrections" in each["sql"]]


def test_a_format_that_does_not_exist(project: Project) -> None:
    with pytest.raises(ValueError, match="choose one of preferences, kto, judgments"):
        export.lines(project, format="csv")  # type: ignore[arg-type]
