"""/ : my projects, what waits, how far I am."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation import actions, queue
from annotation.models import Project, User
from tests.annotation.conftest import browser_of, make_tasks


def test_it_works(project: Project, alice: User) -> None:
    make_tasks(project, 3)
    held = queue.claim(alice, project=project)
    assert held is not None
    actions.judge(held, by=alice, submission_key=uuid.uuid4(), strength=0)
    page = browser_of(alice).get("/").content.decode()
    assert "Support replies" in page
    assert "2 tasks wait" in page
    assert "1 of 40 today" in page
    assert f"/projects/{project.slug}/annotate/" in page


def test_one_s_own_lease_waits_and_other_people_s_does_not(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 2)
    queue.claim(alice, project=project)
    queue.claim(bob, project=project)
    assert "1 task waits" in browser_of(alice).get("/").content.decode()


def test_anonymous_people_log_in_first(db: None) -> None:
    response = browser_of(None).get("/")
    assert response.status_code == 302
    assert response["Location"].startswith("/login/")


def test_a_stranger_sees_no_project_and_what_to_do(project: Project, charlie: User) -> None:
    page = browser_of(charlie).get("/").content.decode()
    assert "Support replies" not in page
    assert "Ask the admin of a project" in page


def test_who_is_paused_is_told_so_and_sees_no_more(project: Project, alice: User) -> None:
    project.memberships.filter(user=alice).update(is_paused=True)
    page = browser_of(alice).get("/").content.decode()
    assert "You are paused in Support replies. Ask one of its admins." in page
    assert f"/projects/{project.slug}/" not in page and "not in a project yet" not in page


def test_more_than_the_goal_is_no_fraction(project: Project, alice: User) -> None:
    Project.objects.update(daily_goal=1)
    make_tasks(project, 2)
    for _time in range(2):
        held = queue.claim(alice, project=project)
        assert held is not None
        actions.judge(held, by=alice, submission_key=uuid.uuid4(), strength=0)
    for path in ("/", f"/projects/{project.slug}/", f"/projects/{project.slug}/annotate/"):
        assert "2 today, goal reached" in browser_of(alice).get(path).content.decode()


def test_wrong_method(alice: User) -> None:
    assert browser_of(alice).post("/").status_code == 405


def test_reviewers_see_the_way_to_the_models_and_annotators_do_not(alice: User, bob: User) -> None:
    pytest.importorskip("training.views", reason="the pages of the training side are not there")
    assert "/models/" in browser_of(bob).get("/").content.decode()
    assert "/models/" not in browser_of(alice).get("/").content.decode()


def test_the_number_of_queries_does_not_grow_with_the_projects(project: Project, alice: User) -> None:
    browser = browser_of(alice)
    with CaptureQueriesContext(connection) as one:
        browser.get("/")
    for number in range(5):
        other = actions.create_project(f"Other {number}", by=None)
        actions.add_member(other, user=alice)
        make_tasks(other, 1)
    with CaptureQueriesContext(connection) as six:
        browser.get("/")
    assert len(six) == len(one) <= 10
