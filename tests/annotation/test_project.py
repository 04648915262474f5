"""/projects/<slug>/ : the overview."""

import uuid

from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation import actions, queue
from annotation.models import Project, User
from tests.annotation.conftest import browser_of, make_tasks, member, text_of


def judge_one(user: User, project: Project) -> None:
    held = queue.claim(user, project=project)
    assert held is not None
    actions.judge(held, by=user, submission_key=uuid.uuid4(), strength=0)


def test_overview_counts_and_marks_what_is_simulated(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 5)
    program = member(project, "program")
    User.objects.filter(pk=program.pk).update(is_simulated=True)
    judge_one(alice, project)
    judge_one(program, project)
    judge_one(program, project)
    page = text_of(bob, f"/projects/{project.slug}/")
    assert "<dd>3</dd>" in page and "2 simulated" in page
    assert "3 of 5 done" in page


def test_annotators_see_nothing_of_other_people_s_labels(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 5)
    for _time in range(3):
        judge_one(bob, project)
    page = text_of(alice, f"/projects/{project.slug}/")
    assert "You judged 0 so far" in page
    assert "Labels a day" not in page and "People" not in page


def test_admins_are_told_how_prompts_come_in(project: Project, carol: User) -> None:
    path, command = f"/projects/{project.slug}/", f"import_data --project {project.slug} FILE"
    page = text_of(carol, path)
    assert command in page and "Freeze" not in page
    make_tasks(project, 1)
    assert command not in text_of(carol, path)


def test_overview_needs_few_queries(project: Project, bob: User) -> None:
    make_tasks(project, 20)
    for _time in range(5):
        judge_one(bob, project)
    browser = browser_of(bob)
    with CaptureQueriesContext(connection) as queries:
        browser.get(f"/projects/{project.slug}/")
    assert len(queries) <= 14
