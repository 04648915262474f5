"""actions.judge, skip and undo: what is kept, what counts, what is refused and with which sentence."""

import datetime
import uuid

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from annotation import actions, queue
from annotation.models import Assignment, Judgment, Project, Response, Task, User
from tests.annotation.conftest import make_tasks, member


@pytest.fixture
def assignment(project: Project, alice: User) -> Assignment:
    make_tasks(project, 1)
    claimed = queue.claim(alice, project=project)
    assert claimed is not None
    return claimed


def prefer(
    assignment: Assignment, response: Response, *, key: uuid.UUID | None = None, **said: object
) -> actions.Judged:
    said = {"strength": 2, **said}
    return actions.judge(
        assignment, by=assignment.annotator, submission_key=key or uuid.uuid4(), preferred=response, **said
    )


def lose_lease(assignment: Assignment) -> None:
    Assignment.objects.filter(pk=assignment.pk).update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
    queue.expire_overdue(assignment.task.project)


def counters(task: Task) -> tuple[int, int]:
    task.refresh_from_db()
    return task.num_judged, task.num_leased


def test_it_works(assignment: Assignment, alice: User, project: Project) -> None:
    guidelines = actions.publish_guidelines(project, text="Be kind.", by=None)
    judged = prefer(assignment, assignment.right, strength=3, rationale=" Kinder. ", flags=["unsafe"], active_seconds=4)
    judgment = Judgment.objects.get()
    assert judged == (judgment, True, "")
    assert judgment.preferred == assignment.right
    assert (judgment.strength, judgment.rationale, judgment.flags) == (3, "Kinder.", ["unsafe"])
    assert (judgment.annotator, judgment.guidelines, judgment.active_seconds) == (alice, guidelines, 4)
    assert judgment.is_current
    assert counters(assignment.task) == (1, 0)
    assignment.refresh_from_db()
    assert assignment.status == Assignment.Status.JUDGED


@pytest.mark.parametrize("is_swapped", [False, True])
def test_what_was_shown_left_is_kept_by_id(assignment: Assignment, is_swapped: bool) -> None:
    """A mark of −2 means the left one is better by 2, whichever response was left."""
    assignment.is_swapped = is_swapped
    assignment.save(update_fields=["is_swapped"])
    preferred, strength = assignment.as_shown(-2)
    assert preferred is not None
    judgment = prefer(assignment, preferred, strength=strength).judgment
    assert judgment.preferred_id == (assignment.task.response_b_id if is_swapped else assignment.task.response_a_id)
    assert judgment.signed_strength == (-2 if is_swapped else 2)
    assert assignment.as_shown(0) == (None, 0)
    assert assignment.as_shown(1) == (assignment.right, 1)


def test_both_bad_is_a_tie(assignment: Assignment) -> None:
    judgment = prefer(assignment, None, strength=None, both_bad=True).judgment
    assert (judgment.strength, judgment.preferred, judgment.both_bad) == (0, None, True)


def test_the_same_key_twice_is_one_judgment(assignment: Assignment) -> None:
    key = uuid.uuid4()
    first = prefer(assignment, assignment.left, key=key)
    second = prefer(assignment, assignment.right, key=key)
    assert second == (first.judgment, False, "")
    assert Judgment.objects.get().preferred == assignment.left
    assert counters(assignment.task) == (1, 0)


def test_another_key_after_judging_is_the_same_judgment(assignment: Assignment) -> None:
    first = prefer(assignment, assignment.left)
    assert prefer(assignment, assignment.right) == (first.judgment, False, "")
    assert counters(assignment.task) == (1, 0)


def test_a_key_belongs_to_one_task(project: Project, alice: User) -> None:
    make_tasks(project, 2)
    key = uuid.uuid4()
    first = queue.claim(alice, project=project)
    prefer(first, first.left, key=key)
    second = queue.claim(alice, project=project)
    with pytest.raises(ValueError, match="already sent for another task"):
        prefer(second, second.left, key=key)


def test_a_lost_lease_is_taken_again_while_there_is_a_place(assignment: Assignment) -> None:
    lose_lease(assignment)
    assert counters(assignment.task) == (0, 0)
    judged = prefer(assignment, assignment.left)
    assert judged.judgment.is_current
    assert judged.notice == ""
    assert counters(assignment.task) == (1, 0)


def test_a_lease_that_ran_out_unnoticed_still_holds_its_place(assignment: Assignment) -> None:
    Assignment.objects.update(expires_at=timezone.now() - datetime.timedelta(hours=1))
    assert prefer(assignment, assignment.left).judgment.is_current
    assert counters(assignment.task) == (1, 0)


def test_a_late_judgment_is_kept_but_does_not_count(assignment: Assignment, project: Project, bob: User) -> None:
    lose_lease(assignment)
    other = queue.claim(bob, project=project)
    key = uuid.uuid4()
    late = prefer(assignment, assignment.left, key=key, rationale="An hour's work.")
    assert not late.judgment.is_current
    assert "does not count" in late.notice
    assert Judgment.objects.get().rationale == "An hour's work."
    assert prefer(assignment, assignment.left, key=key) == (late.judgment, False, late.notice)
    assert counters(assignment.task) == (0, 1)
    assert prefer(other, other.right).judgment.is_current
    assert counters(assignment.task) == (1, 0)


def test_a_task_that_is_anothers_is_refused(assignment: Assignment, bob: User) -> None:
    with pytest.raises(PermissionDenied):
        actions.judge(assignment, by=bob, submission_key=uuid.uuid4(), strength=0)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({}, "Choose which answer is better, or a tie"),
        ({"strength": 4}, "from 0 .tie. to 3"),
        ({"strength": -1}, "from 0 .tie. to 3"),
        ({"strength": 1}, "a choice prefers one"),
        ({"strength": 1, "both_bad": True}, "Both bad is a tie"),
        ({"strength": 0, "flags": ["rude"]}, "no flag “rude”"),
        ({"strength": 0, "ratings": {1: 1}}, "takes no ratings"),
        ({"strength": 0, "active_seconds": float("nan")}, "number of seconds"),
        ({"strength": 0, "rationale": "a\0b"}, "NUL"),
        ({"strength": 0, "corrections": {0: "Better."}}, "does not belong to this task"),
    ],
)
def test_bad_input_gets_a_sentence_and_keeps_the_lease(
    assignment: Assignment, alice: User, said: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        actions.judge(assignment, by=alice, submission_key=uuid.uuid4(), **said)
    assert not Judgment.objects.exists()
    assert counters(assignment.task) == (0, 1)


def test_a_preferred_answer_must_belong_to_the_task(project: Project, alice: User) -> None:
    make_tasks(project, 2)
    first = queue.claim(alice, project=project)
    stranger = Response.objects.exclude(prompt=first.task.prompt).first()
    with pytest.raises(ValueError, match="does not belong to this task"):
        prefer(first, stranger)
    with pytest.raises(ValueError, match="A tie prefers no answer"):
        prefer(first, first.left, strength=0)


def test_a_correction_is_a_response_with_its_parent(assignment: Assignment, alice: User) -> None:
    task = assignment.task
    unchanged = f" {task.response_b.text}\n"
    judged = prefer(
        assignment, task.response_a, corrections={task.response_a_id: "Corrected.", task.response_b_id: unchanged}
    )
    correction = judged.judgment.corrections.get()
    assert (correction.text, correction.parent, correction.author) == ("Corrected.", task.response_a, alice)
    assert correction.prompt == task.prompt


def test_an_empty_correction_is_refused(assignment: Assignment) -> None:
    with pytest.raises(ValueError, match="empty"):
        prefer(assignment, assignment.left, corrections={assignment.task.response_a_id: "  "})


def test_two_people_may_write_the_same_correction(project: Project, alice: User, bob: User) -> None:
    (task,) = make_tasks(project, 1, overlap=2)
    for user, original in ((alice, task.response_a_id), (bob, task.response_b_id)):
        held = queue.claim(user, project=project)
        prefer(held, held.left, corrections={original: "The same words."})
    assert {row.parent_id for row in Response.objects.exclude(parent=None)} == {task.response_a_id, task.response_b_id}


class TestRatings:
    @pytest.fixture
    def rating(self, project: Project, alice: User) -> Assignment:
        make_tasks(project, 1, kind="rating")
        actions.add_criterion(project, key="helpful", name="Helpful", scale_max=7)
        actions.add_criterion(project, key="safe", name="Safe")
        return queue.claim(alice, project=project)

    def rate(self, rating: Assignment, ratings: dict[int, int]) -> Judgment:
        return actions.judge(rating, by=rating.annotator, submission_key=uuid.uuid4(), ratings=ratings).judgment

    def test_it_works(self, rating: Assignment, project: Project) -> None:
        helpful, safe = project.criteria.all()
        judgment = self.rate(rating, {helpful.pk: 7, safe.pk: 1})
        assert judgment.signed_strength is None
        assert {(row.criterion.key, row.value) for row in judgment.ratings.all()} == {("helpful", 7), ("safe", 1)}
        assert all(row.response_id == rating.task.response_a_id for row in judgment.ratings.all())
        assert counters(rating.task) == (1, 0)

    def test_every_criterion_is_asked_within_its_scale(self, rating: Assignment, project: Project) -> None:
        helpful, safe = project.criteria.all()
        with pytest.raises(ValueError, match="Rate this criterion too: Safe"):
            self.rate(rating, {helpful.pk: 7})
        with pytest.raises(ValueError, match="“Safe” goes from 1 to 5"):
            self.rate(rating, {helpful.pk: 7, safe.pk: 6})
        with pytest.raises(ValueError, match="does not belong to this project"):
            self.rate(rating, {helpful.pk: 7, safe.pk: 5, safe.pk + 100: 1})
        assert not Judgment.objects.exists()

    def test_a_rating_takes_no_preference(self, rating: Assignment) -> None:
        with pytest.raises(ValueError, match="takes no preference"):
            prefer(rating, None, strength=0)


class TestSkip:
    def test_it_works(self, assignment: Assignment, project: Project, alice: User, bob: User) -> None:
        actions.skip(assignment, by=alice, reason="unclear", note=" Which parcel? ")
        assignment.refresh_from_db()
        assert (assignment.status, assignment.skip_reason, assignment.skip_note) == (
            "skipped", "unclear", "Which parcel?",
        )  # fmt: skip
        assert counters(assignment.task) == (0, 0)
        assert queue.claim(alice, project=project) is None
        assert queue.claim(bob, project=project).task == assignment.task

    def test_twice_is_once(self, assignment: Assignment, alice: User) -> None:
        actions.skip(assignment, by=alice, reason="other")
        actions.skip(assignment, by=alice, reason="other")
        assert counters(assignment.task) == (0, 0)

    def test_a_reason_is_asked(self, assignment: Assignment, alice: User) -> None:
        with pytest.raises(ValueError, match="Choose why"):
            actions.skip(assignment, by=alice, reason="bored")

    def test_a_judged_task_is_not_skipped(self, assignment: Assignment, alice: User) -> None:
        prefer(assignment, assignment.left)
        with pytest.raises(ValueError, match="undo that first"):
            actions.skip(assignment, by=alice, reason="other")

    def test_a_skipped_task_may_still_be_judged(self, assignment: Assignment, alice: User) -> None:
        actions.skip(assignment, by=alice, reason="other")
        assert prefer(assignment, assignment.left).judgment.is_current
        assert counters(assignment.task) == (1, 0)

    def test_anothers_task_is_refused(self, assignment: Assignment, bob: User) -> None:
        with pytest.raises(PermissionDenied):
            actions.skip(assignment, by=bob, reason="other")


class TestUndo:
    def test_it_reopens_the_last_judgment_with_its_values(self, project: Project, alice: User) -> None:
        make_tasks(project, 3)
        for strength in (1, 2):
            held = queue.claim(alice, project=project)
            prefer(held, held.left, strength=strength)
        waiting = queue.claim(alice, project=project)
        undone = actions.undo(alice, project=project)
        assert (undone.assignment, undone.judgment.strength) == (held, 2)
        assert counters(held.task) == (0, 1)
        assert queue.claim(alice, project=project) == held, "the reopened task comes before the one that waits"
        again = prefer(held, held.right, strength=3)
        assert again.is_new
        assert counters(held.task) == (1, 0)
        assert queue.claim(alice, project=project) == waiting
        assert list(held.task.judgments.order_by("id").values_list("strength", "is_current")) == [(2, False), (3, True)]

    def test_it_goes_back_further(self, project: Project, alice: User) -> None:
        make_tasks(project, 2)
        held = [queue.claim(alice, project=project)]
        prefer(held[0], held[0].left)
        held.append(queue.claim(alice, project=project))
        prefer(held[1], held[1].left)
        assert [actions.undo(alice, project=project).assignment for _ in held] == held[::-1]
        assert actions.undo(alice, project=project) is None

    def test_it_stays_within_the_person_and_the_project(self, assignment: Assignment, project: Project) -> None:
        prefer(assignment, assignment.left)
        elsewhere = actions.create_project("Elsewhere", by=None)
        dora = member(elsewhere, "dora")
        actions.add_member(elsewhere, user=assignment.annotator)
        assert actions.undo(dora, project=project) is None
        assert actions.undo(assignment.annotator, project=elsewhere) is None
        assert Judgment.objects.counted().count() == 1
