"""What must always be true is a database constraint: each one is violated here on purpose."""

import datetime
import uuid

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from annotation import actions, queue
from annotation.models import (
    Assignment,
    Criterion,
    Guidelines,
    Judgment,
    Membership,
    Project,
    Prompt,
    Rating,
    Response,
    Role,
    Task,
    User,
)
from tests.annotation.conftest import make_tasks


class Refused:
    """The block must be refused by the named constraint and by no other."""

    def __init__(self, constraint: str) -> None:
        self.constraint = constraint

    def __enter__(self) -> None:
        self.atomic = transaction.atomic()
        self.atomic.__enter__()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        self.atomic.__exit__(kind, error, trace)
        assert isinstance(error, IntegrityError), f"{self.constraint} let it pass"
        assert f'"{self.constraint}"' in str(error)
        return True


@pytest.fixture
def task(project: Project) -> Task:
    return make_tasks(project, 2)[0]


@pytest.fixture
def other(task: Task) -> Task:
    return Task.objects.exclude(pk=task.pk).get()


@pytest.fixture
def assignment(task: Task, project: Project, alice: User) -> Assignment:
    return queue.claim(alice, project=project)


@pytest.fixture
def judgment(assignment: Assignment, alice: User) -> Judgment:
    said = {"preferred": assignment.task.response_a, "strength": 1}
    return actions.judge(assignment, by=alice, submission_key=uuid.uuid4(), **said).judgment


class TestPeople:
    def test_memberships(self, project: Project, alice: User) -> None:
        with Refused("one_membership_per_person"):
            Membership.objects.create(project=project, user=alice)

    def test_criteria(self, project: Project) -> None:
        actions.add_criterion(project, key="safe", name="Safe")
        with Refused("one_criterion_per_key"):
            Criterion.objects.create(project=project, key="safe", name="Safe again")
        for scale_max in (1, 10):
            with Refused("scale_has_2_to_9_steps"):
                Criterion.objects.create(project=project, key="kind", name="Kind", scale_max=scale_max)

    def test_guidelines(self, project: Project) -> None:
        actions.publish_guidelines(project, text="Be kind.", by=None)
        with Refused("guidelines_versions_are_distinct"):
            Guidelines.objects.create(project=project, version=1, text="Be cruel.")


class TestContent:
    def test_a_prompt_comes_in_once(self, task: Task) -> None:
        with Refused("a_prompt_comes_in_once"):
            Prompt.objects.create(project=task.project, messages=[], content_hash=task.prompt.content_hash)

    def test_a_source_answers_alike_once(self, task: Task) -> None:
        first = task.response_a
        with Refused("a_source_answers_alike_once"):
            Response.objects.create(
                prompt=first.prompt, text=first.text, source=first.source, content_hash=first.content_hash
            )

    def test_no_response_corrects_itself(self, task: Task) -> None:
        with Refused("no_self_correction"):
            Response.objects.filter(pk=task.response_a_id).update(parent=task.response_a)


class TestTasks:
    def test_the_overlap_is_never_exceeded(self, task: Task) -> None:
        for counters in ({"num_judged": 2}, {"num_leased": 2}, {"num_judged": 1, "num_leased": 1}):
            with Refused("overlap_is_never_exceeded"):
                Task.objects.filter(pk=task.pk).update(**counters)

    def test_no_counter_falls_below_zero(self, task: Task) -> None:
        for counter in ("num_judged", "num_leased"):
            with Refused(f"annotation_task_{counter}_check"):
                Task.objects.filter(pk=task.pk).update(**{counter: -1})

    def test_a_comparison_has_two_responses_in_id_order(self, task: Task) -> None:
        for sides in (
            {"response_b": None},
            {"response_b": task.response_a},
            {"response_a": task.response_b, "response_b": task.response_a},
        ):
            with Refused("a_comparison_has_two_responses_in_id_order"):
                Task.objects.filter(pk=task.pk).update(**sides)

    def test_a_rating_has_one_response(self, task: Task) -> None:
        with Refused("a_comparison_has_two_responses_in_id_order"):
            Task.objects.filter(pk=task.pk).update(kind="rating")

    def test_a_pair_is_asked_once(self, task: Task) -> None:
        asked = {"project": task.project, "prompt": task.prompt, "response_a": task.response_a}
        with Refused("a_pair_is_asked_once"):
            Task.objects.create(kind="comparison", response_b=task.response_b, **asked)
        Task.objects.create(kind="rating", **asked)
        with Refused("a_response_is_rated_in_one_task"):
            Task.objects.create(kind="rating", **asked)


class TestJudging:
    def test_a_task_is_lent_once_per_person(self, assignment: Assignment) -> None:
        with Refused("a_task_is_lent_once_per_person"):
            Assignment.objects.create(
                task=assignment.task, annotator=assignment.annotator, is_swapped=False, expires_at=timezone.now()
            )

    def test_who_holds_a_task_is_not_deleted(self, assignment: Assignment, alice: User) -> None:
        """Their lease would vanish and the task would keep the place for nobody."""
        with pytest.raises(ProtectedError):
            alice.delete()
        assert Assignment.objects.live().of(alice).exists()

    def test_one_judgment_per_person_and_task(self, judgment: Judgment) -> None:
        same = {"task": judgment.task, "annotator": judgment.annotator, "assignment": judgment.assignment}
        Judgment.objects.create(is_current=False, strength=0, **same)
        with Refused("one_judgment_per_person_and_task"):
            Judgment.objects.create(strength=0, **same)

    def test_a_submission_key_counts_once(self, judgment: Judgment) -> None:
        same = {"task": judgment.task, "annotator": judgment.annotator, "assignment": judgment.assignment}
        with Refused("annotation_judgment_submission_key_key"):
            Judgment.objects.create(is_current=False, strength=0, submission_key=judgment.submission_key, **same)

    def test_a_tie_prefers_none_and_a_choice_prefers_one(self, judgment: Judgment) -> None:
        response = judgment.task.response_a
        for said in (
            {"strength": 0, "preferred": response},
            {"strength": 2, "preferred": None},
            {"strength": 4, "preferred": response},
            {"strength": None, "preferred": response},
        ):
            with Refused("a_tie_prefers_none_and_a_choice_prefers_one"):
                Judgment.objects.filter(pk=judgment.pk).update(**said)

    def test_both_bad_is_a_tie(self, judgment: Judgment) -> None:
        for said in ({}, {"strength": None, "preferred": None}):
            with Refused("both_bad_is_a_tie"):
                Judgment.objects.filter(pk=judgment.pk).update(both_bad=True, **said)

    def test_ratings(self, judgment: Judgment, project: Project) -> None:
        criterion = actions.add_criterion(project, key="safe", name="Safe")
        rated = {"judgment": judgment, "criterion": criterion, "response": judgment.task.response_a}
        for value in (0, 10):
            with Refused("a_rating_is_1_to_9"):
                Rating.objects.create(value=value, **rated)
        Rating.objects.create(value=1, **rated)
        with Refused("one_value_per_criterion"):
            Rating.objects.create(value=2, **rated)


class TestWords:
    """The vocabulary of the QuerySets, by hand."""

    def test_open_and_done(self, task: Task, other: Task) -> None:
        assert set(Task.objects.open()) == {task, other}
        Task.objects.filter(pk=task.pk).update(num_leased=1)
        assert (list(Task.objects.open()), list(Task.objects.done())) == ([other], [])
        Task.objects.filter(pk=task.pk).update(num_leased=0, num_judged=1)
        Task.objects.filter(pk=other.pk).update(is_withdrawn=True)
        assert (list(Task.objects.open()), list(Task.objects.done())) == ([], [task])

    def test_live(self, assignment: Assignment) -> None:
        assert list(Assignment.objects.live()) == [assignment]
        Assignment.objects.update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
        assert list(Assignment.objects.live()) == []

    def test_roles(self, project: Project, alice: User, bob: User, charlie: User) -> None:
        assert list(Project.objects.visible_to(alice)) == [project]
        assert not Project.objects.visible_to(charlie).exists()
        assert list(Project.objects.with_role(bob, Role.REVIEWER)) == [project]
        assert not Project.objects.with_role(alice, Role.REVIEWER).exists()
        project.require(bob, Role.ANNOTATOR)
        with pytest.raises(PermissionDenied, match="needs the role “reviewer”"):
            project.require(alice, Role.REVIEWER)
        Membership.objects.update(is_paused=True)
        assert not Project.objects.visible_to(alice).exists()


class TestProjects:
    """actions on projects: a bad value gets a sentence, and two editors get two versions."""

    def test_it_works(self, alice: User) -> None:
        project = actions.create_project(
            "Café answers", by=alice, guidelines=" Be brief. ", overlap=3, lease_seconds=60, daily_goal=5
        )
        assert (project.slug, project.overlap) == ("cafe-answers", 3)
        assert project.role_of(alice) == Role.ADMIN
        assert (project.current_guidelines.version, project.current_guidelines.text) == (1, "Be brief.")

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"name": "  "}, "Give the project a name"),
            ({"name": "评测"}, "Give the project an address"),
            ({"name": "Support replies"}, "Another project has the address"),
            ({"name": "New", "overlap": 0}, "At least one person"),
            ({"name": "New", "lease_seconds": 59}, "at least 60 seconds"),
        ],
    )
    def test_bad_values(self, project: Project, values: dict[str, object], sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            actions.create_project(values.pop("name"), by=None, **values)
        assert Project.objects.count() == 1

    def test_a_member_changes_role_and_comes_back(self, project: Project, alice: User) -> None:
        Membership.objects.update(is_paused=True)
        actions.add_member(project, user=alice, role=Role.REVIEWER)
        assert project.role_of(alice) == Role.REVIEWER
        assert project.memberships.count() == 1

    def test_guidelines_follow_each_other(self, project: Project, bob: User) -> None:
        first = actions.publish_guidelines(project, text="Be kind.", by=bob)
        assert actions.publish_guidelines(project, text="Be kind. \n", by=bob) == first
        second = actions.publish_guidelines(project, text="Be brief.", by=bob)
        assert (second.version, project.current_guidelines, second.created_by) == (2, second, bob)
        with pytest.raises(ValueError, match="empty"):
            actions.publish_guidelines(project, text=" ", by=bob)

    @pytest.mark.parametrize(
        "values", [{"key": "two words"}, {"key": ""}, {"key": "safe"}, {"key": "x", "scale_max": 1}]
    )
    def test_bad_criteria(self, project: Project, values: dict[str, object]) -> None:
        actions.add_criterion(project, key="safe", name="Safe")
        with pytest.raises(ValueError, match=r"key|steps|already"):
            actions.add_criterion(project, **{"name": "X", **values})
        assert project.criteria.count() == 1
