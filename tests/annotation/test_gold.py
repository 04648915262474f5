"""/projects/<slug>/gold/ : right answers set and unset, repeats asked for, and nothing that tells annotators."""

import datetime
import re
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import actions, queue
from annotation.actions.tasks import top_up_repeats
from annotation.models import AuditEntry, Gold, Judgment, Project, Task, User, Verb
from tests.annotation.conftest import browser_of, make_rankings, make_tasks, member, text_of

PATH = "/projects/support-replies/gold/"


def post(user: User, where: str, **values: Any) -> str:
    return browser_of(user).post(PATH + where, values, follow=True).content.decode()


def lend(user: User, task: Task) -> Any:
    """That task, in that person's hands."""
    Task.objects.filter(pk=task.pk).update(num_leased=1)
    return task.assignments.create(annotator=user, is_swapped=False, expires_at="2030-01-01T00:00Z")


def test_a_task_becomes_a_gold_task_and_a_question_again(project: Project, carol: User) -> None:
    task, _other = make_tasks(project, 2)
    assert "Make it a gold task" in text_of(carol, f"{PATH}{task.pk}/")
    post(carol, f"{task.pk}/", preferred=task.response_b_id, note="It answers.")
    gold = Gold.objects.get()
    task.refresh_from_db()
    assert (gold.preferred, gold.note, gold.created_by) == (task.response_b, "It answers.", carol)
    assert (task.control, task.overlap) == ("gold", Task.EVERYBODY)
    post(carol, f"{task.pk}/", preferred="tie")
    assert Gold.objects.get().preferred is None
    post(carol, f"{task.pk}/unset/")
    task.refresh_from_db()
    assert (task.control, task.overlap, Gold.objects.exists()) == ("", project.overlap, False)
    assert [entry.verb for entry in AuditEntry.objects.filter(verb__startswith="gold.").order_by("pk")] == [
        "gold.set",
        "gold.set",
        "gold.retired",
    ]


def test_the_votes_on_it_are_told_before_they_become_answers(project: Project, carol: User, alice: User) -> None:
    (task,) = make_tasks(project, 1)
    actions.judge(queue.claim(alice, project=project), by=alice, submission_key=uuid.uuid4(), strength=0)
    assert "1 person has judged this task" in text_of(carol, f"{PATH}{task.pk}/")
    post(carol, f"{task.pk}/", preferred="tie")
    assert not Judgment.objects.votes().exists()


def test_ranges_and_the_best_of_a_ranking(project: Project, carol: User) -> None:
    actions.add_criterion(project, key="helpful", name="Helpful")
    (rating,) = make_tasks(project, 1, kind="rating")
    (ranking,) = make_rankings(project, 1)
    post(carol, f"{rating.pk}/", low_helpful=4)
    post(carol, f"{ranking.pk}/", preferred=ranking.candidate_ids[2])
    assert (rating.gold.ratings, ranking.gold.preferred_id) == ({"helpful": [4, 5]}, ranking.candidate_ids[2])


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        ("comparison", {}, "Choose which answer is right."),
        ("comparison", {"preferred": "0"}, "Select a valid choice"),
        ("rating", {}, "Say for at least one criterion"),
        ("rating", {"low_helpful": 4, "high_helpful": 2}, "the lowest right value first"),
        ("rating", {"low_helpful": 6}, "less than or equal to 5"),
    ],
)
def test_a_wrong_right_answer_gets_a_sentence(
    project: Project, carol: User, kind: str, values: dict[str, Any], sentence: str
) -> None:
    actions.add_criterion(project, key="helpful", name="Helpful")
    (task,) = make_tasks(project, 1, kind=kind)
    assert sentence in post(carol, f"{task.pk}/", **values)
    assert not Gold.objects.exists()


def test_one_is_written_by_hand(project: Project, carol: User) -> None:
    page = post(carol, "new/", prompt="Sky?", right="Blue.", wrong="Green.")
    assert "1 gold task" in page
    gold = Gold.objects.get()
    assert (gold.preferred.text, gold.task.control) == ("Blue.", "gold")
    assert "The two answers are the same" in post(carol, "new/", prompt="Sky?", right="Blue.", wrong="Blue.")
    assert "This field is required" in post(carol, "new/", prompt=" ", right="Blue.", wrong="Red.")


def test_the_list_tells_how_people_do_and_which_most_miss(project: Project, carol: User) -> None:
    easy, hard = make_tasks(project, 2)
    for task in (easy, hard):
        post(carol, f"{task.pk}/", preferred=task.response_a_id)
    for name in ("ann", "ben", "cleo"):
        person = member(project, name)
        for task, right in ((easy, True), (hard, name == "ann")):
            better = task.response_a if right else task.response_b
            held = lend(person, task)
            actions.judge(held, by=person, submission_key=uuid.uuid4(), preferred=better, strength=1)
    page = text_of(carol, PATH)
    assert re.findall(r"(\d+)\s*%", page) == ["33", "100"]  # the newest first
    assert page.count("most miss it") == 1
    browser = browser_of(carol)
    with CaptureQueriesContext(connection) as queries:
        browser.get(PATH)
    assert len(queries) <= 14


def test_every_act_is_a_transaction_of_its_own(transactional_db: None, project: Project, carol: User) -> None:
    """As in the product, where no test holds one open around them: the audit log refuses an act without one."""
    task, _other = make_tasks(project, 2)
    post(carol, "", percent=25, repeats=0)
    post(carol, f"{task.pk}/", preferred=task.response_a_id)
    post(carol, f"{task.pk}/unset/")
    post(carol, "new/", prompt="Sky?", right="Blue.", wrong="Green.")
    post(carol, "repeats/", percent=100)
    browser_of(carol).post("/projects/support-replies/tasks/change/", {"change": "withdraw", "all": "on"})
    Task.objects.filter(kind="comparison", control="").delete()
    path = "/projects/support-replies/tasks/new/"
    browser_of(carol).post(path, {"what": "all", "overlap": 1, "priority": 0})
    assert Task.objects.questions().count() == 2
    assert [entry.verb for entry in AuditEntry.objects.order_by("pk")][-6:] == [
        "project.changed", "gold.set", "gold.retired", "gold.set", "tasks.withdrawn", "tasks.created",
    ]  # fmt: skip


def test_how_often_is_set(project: Project, carol: User) -> None:
    post(carol, "", percent=25, repeats=20)
    project.refresh_from_db()
    assert (project.control_share, project.repeat_share) == (0.25, 0.2)
    assert "less than or equal to 50" in post(carol, "", percent=60, repeats=20)
    entry = AuditEntry.objects.get(verb=Verb.PROJECT_CHANGED)
    assert entry.details == {"control_share": [0.1, 0.25], "repeat_share": [0.05, 0.2]}


def test_judgments_are_asked_again_each_once(project: Project, carol: User, alice: User, bob: User) -> None:
    make_tasks(project, 20, overlap=2)
    paused = member(project, "paused")
    for person in (alice, paused):
        judge_all(person, project)
    project.memberships.filter(user=paused).update(is_paused=True)
    assert "5 judgments are asked again" in post(carol, "repeats/", percent=25)
    assert {task.reserved_for for task in Task.objects.filter(control="repeat")} == {alice}
    assert "15 judgments are asked again" in post(carol, "repeats/", percent=100)
    assert Task.objects.filter(control="repeat").values("repeat_of").distinct().count() == 20
    assert "Nobody can be asked again" in post(carol, "repeats/", percent=100)


def judge_all(person: User, project: Project) -> None:
    while held := queue.claim(person, project=project):
        actions.judge(held, by=person, submission_key=uuid.uuid4(), strength=0)


def test_all_kinds_are_asked_again(project: Project, carol: User, alice: User) -> None:
    (rating,), (ranking,) = make_tasks(project, 1, kind="rating"), make_rankings(project, 1)
    helpful = actions.add_criterion(project, key="helpful", name="Helpful")
    actions.judge(lend(alice, rating), by=alice, submission_key=uuid.uuid4(), ratings={helpful.pk: 3})
    ranks = dict.fromkeys(ranking.candidate_ids, 1)
    actions.judge(lend(alice, ranking), by=alice, submission_key=uuid.uuid4(), ranks=ranks)
    assert "2 judgments are asked again" in post(carol, "repeats/", percent=100)
    assert {task.repeat_of for task in Task.objects.filter(control="repeat")} == {rating, ranking}
    again = Task.objects.get(repeat_of=ranking)
    assert list(again.candidates.values_list("response_id", flat=True)) == ranking.candidate_ids


def test_repeats_come_by_themselves_up_to_the_projects_share(
    project: Project, alice: User, bob: User, carol: User
) -> None:
    make_tasks(project, 20, overlap=3)
    paused = member(project, "paused")
    for person in (alice, paused):
        judge_all(person, project)
    actions.pause_member(project.memberships.get(user=paused), by=carol)
    repeats = Task.objects.filter(control="repeat")
    assert project.repeat_share == 0.05
    assert (top_up_repeats(), top_up_repeats()) == (1, 0)
    assert repeats.get().reserved_for == alice, "who is paused is asked nothing, and Bob has said nothing"
    post(carol, "", percent=10, repeats=50)
    assert (top_up_repeats(), top_up_repeats()) == (9, 0)
    assert repeats.values("repeat_of").distinct().count() == 10, "each judgment is repeated once"
    judge_all(bob, project)
    Judgment.objects.of(bob).update(created_at=timezone.now() - datetime.timedelta(days=2))
    assert top_up_repeats() == 0, "for those at work"
    post(carol, "", percent=10, repeats=0)
    Judgment.objects.of(bob).update(created_at=timezone.now())
    assert top_up_repeats() == 0


def bare(page: str, held: Any) -> str:
    """The page without what is another each time, and without the texts of its prompt and answers."""
    page = re.sub(r"\b[A-Za-z0-9]{64}\b", "TOKEN", page)  # against forgery
    page = re.sub(r'submission_key" value="[^"]*"', "submission_key", page)
    page = re.sub(rf"/assignments/{held.pk}/", "/assignments/N/", page).replace(f'data-assignment="{held.pk}"', "")
    texts = [str(held.task.prompt), *(response.text for response in held.shown)]
    for text in texts:
        page = page.replace(text, "TEXT")
    return page


def test_the_page_of_a_gold_task_differs_in_nothing_but_content(project: Project, alice: User) -> None:
    question, gold = make_tasks(project, 2)
    pages = []
    for task in (question, gold):
        held = lend(alice, task)
        if task == gold:
            actions.tasks.set_gold(task, Gold(preferred=task.response_a), by=None)
        pages.append(bare(text_of(alice, "/projects/support-replies/annotate/"), held))
        held.delete()
    assert pages[0] == pages[1]


def test_gold_tasks_count_in_what_a_person_did_today_as_any(project: Project, alice: User) -> None:
    question, gold = make_tasks(project, 2)
    actions.tasks.set_gold(gold, Gold(preferred=gold.response_a), by=None)
    for task in (question, gold):
        actions.judge(lend(alice, task), by=alice, submission_key=uuid.uuid4(), strength=0)
    assert "2 of 40 today" in text_of(alice, "/projects/support-replies/annotate/")
