"""/projects/<slug>/people/<pk>/ : a person's figures, and their labels out of the count and back."""

import csv
import datetime
import io

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import queue
from annotation.models import Judgment, Project, User
from tests.annotation.conftest import browser_of, make_tasks, member, text_of
from tests.annotation.test_quality import say
from tests.annotation.test_voiding import judge_all

PEOPLE = "/projects/support-replies/people/"


def page_of(project: Project, user: User) -> str:
    return f"{PEOPLE}{project.memberships.get(user=user).pk}/"


def test_it_works(project: Project, alice: User, bob: User, carol: User) -> None:
    for task in make_tasks(project, 4, overlap=3):
        say(alice, task, "a", active_seconds=30.0)
        say(bob, task, "a")
    page = text_of(carol, page_of(project, alice))
    assert "alice" in page and "2 min 0 s" in page and "<dd>120</dd>" in page
    assert "<b>100.0\u202f%</b>" in page, "she agrees with bob every time, and always chose the left"
    assert "No gold task has been judged yet." in page and "No comparison or ranking has been asked again yet." in page
    assert "alice" in text_of(carol, PEOPLE)
    assert "Nobody else has judged the same answers" in text_of(carol, page_of(project, carol))


def test_the_file_holds_every_figure_and_no_formula(project: Project, carol: User) -> None:
    sum_ = member(project, "@SUM(1)")
    for task in make_tasks(project, 3, overlap=2):
        say(sum_, task, "a", active_seconds=60.0)
        say(carol, task, "b")
    rows = list(csv.DictReader(io.StringIO(text_of(carol, PEOPLE + "csv/"))))
    row = next(row for row in rows if row["name"] == "'@SUM(1)")
    assert (row["labels"], row["active_seconds"], row["labels_per_active_hour"]) == ("3", "180.0", "60.0")
    assert (row["agreement"], row["agreement_n"], row["left"], row["gold"], row["gold_n"]) == (
        "0.0",
        "3",
        "1.0",
        "",
        "0",
    )
    assert float(row["left_low"]) < 0.5


def test_voiding_is_shown_done_and_undone(project: Project, alice: User, bob: User, carol: User) -> None:
    make_tasks(project, 3)
    judge_all(alice, project)
    browser, path = browser_of(carol), page_of(project, alice)
    values = {"reason": "clicked <through>", "first_day": "", "last_day": ""}
    preview = browser.post(path + "void/", values)
    assert preview.status_code == 200 and "<b>3 labels</b> of alice" in preview.content.decode()
    assert Judgment.objects.counted().count() == 3, "nothing has happened yet"
    done = browser.post(path + "void/", values | {"is_sure": "on"}, follow=True).content.decode()
    assert "3 labels count no more." in done and "clicked &lt;through&gt;" in done
    assert not Judgment.objects.counted().exists()
    assert queue.claim(bob, project=project)
    voiding = project.voidings.get()
    back = browser.post(f"/projects/{project.slug}/voidings/{voiding.pk}/restore/", follow=True).content.decode()
    assert "2 labels count again." in back and "1 label stays out of the count" in back


def test_a_period_holds_both_its_days(project: Project, alice: User, carol: User) -> None:
    make_tasks(project, 3)
    judge_all(alice, project)
    noon = timezone.make_aware(datetime.datetime(2026, 5, 5, 12))
    for number, judgment in enumerate(Judgment.objects.order_by("pk")):
        Judgment.objects.filter(pk=judgment.pk).update(created_at=noon + datetime.timedelta(days=number))
    values = {"reason": "ill", "first_day": "2026-05-05", "last_day": "2026-05-06", "is_sure": "on"}
    browser_of(carol).post(page_of(project, alice) + "void/", values)
    assert Judgment.objects.counted().get().created_at == noon + datetime.timedelta(days=2)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"reason": " "}, "This field is required."),
        ({"reason": "x", "first_day": "2026-05-05", "last_day": "2026-05-04"}, "lies before the first"),
        ({"reason": "x", "first_day": "soon"}, "Enter a valid date."),
        ({"reason": "x", "first_day": "9999-12-31", "last_day": "9999-12-31"}, "nothing to void"),
        ({"reason": "x", "is_sure": "on"}, "nothing to void"),
        ({"reason": "a\0b"}, "Null characters are not allowed."),
    ],
)
def test_what_cannot_be_voided_gets_a_sentence(
    project: Project, alice: User, carol: User, values: dict[str, str], sentence: str
) -> None:
    response = browser_of(carol).post(page_of(project, alice) + "void/", values)
    assert response.status_code == 422
    assert sentence in response.content.decode()


def test_other_projects_people_and_voidings_are_not_there(project: Project, alice: User, carol: User) -> None:
    foreign = Project.objects.create(slug="other", name="Other")
    membership = foreign.memberships.create(user=alice)
    voiding = foreign.voidings.create(annotator=alice, reason="x")
    browser = browser_of(carol)
    assert browser.get(f"{PEOPLE}{membership.pk}/").status_code == 404
    assert browser.post(f"{PEOPLE}{membership.pk}/void/", {"reason": "x"}).status_code == 404
    assert browser.post(f"/projects/{project.slug}/voidings/{voiding.pk}/restore/").status_code == 404


@pytest.mark.parametrize("path", ["", "one"])
def test_few_queries_however_many_people(project: Project, alice: User, carol: User, path: str) -> None:
    tasks = make_tasks(project, 5, overlap=10)
    for task in tasks:
        say(alice, task, "a")
    browser, path = browser_of(carol), page_of(project, alice) if path else PEOPLE
    with CaptureQueriesContext(connection) as few:
        browser.get(path)
    for number in range(8):
        person = member(project, f"person {number}")
        for task in tasks:
            say(person, task, "b")
    with CaptureQueriesContext(connection) as many:
        browser.get(path)
    assert len(many) == len(few) <= 24  # the cache is a table too: keeping the figures takes some
