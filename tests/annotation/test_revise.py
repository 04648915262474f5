"""My judgments: listed, opened with every version, revised; and the locks that a project puts on that."""

import re
import uuid
from typing import Any

import pytest
from django.utils import timezone

from annotation import actions, queue
from annotation.models import Assignment, Judgment, Project, Revision, Task, User, Voiding
from tests.annotation.conftest import browser_of, make_tasks, text_of


@pytest.fixture
def judged(project: Project, alice: User) -> Assignment:
    make_tasks(project, 3)
    held = queue.claim(alice, project=project)
    assert held
    actions.judge(
        held, by=alice, submission_key=uuid.uuid4(), preferred=held.left, strength=2, rationale="first thought"
    )
    return held


def send(user: User, judged: Assignment, *, status: int = 302, **values: Any) -> str:
    data = {"submission_key": str(uuid.uuid4()), "choice": "3", "rationale": "second thought", **values}
    response = browser_of(user).post(f"/assignments/{judged.pk}/revise/", data)
    assert response.status_code == status
    return response.content.decode()


def test_it_works(project: Project, alice: User, judged: Assignment) -> None:
    page = text_of(alice, f"/projects/{project.slug}/judgments/")
    assert "Question 0?" in page and "A better" in page
    form = text_of(alice, f"/assignments/{judged.pk}/revise/")
    assert "first thought" in form and re.search(r'value="-2"[^>]*checked', form)
    send(alice, judged)
    old, new = Judgment.objects.order_by("pk")
    assert (old.is_current, new.is_current) == (False, True)
    assert (new.preferred, new.strength, new.rationale) == (judged.right, 3, "second thought")
    task = Task.objects.get(pk=judged.task_id)
    assert (task.num_judged, task.num_leased) == (1, 0)
    versions = text_of(alice, f"/assignments/{judged.pk}/revise/")
    assert versions.index("second thought") < versions.index("first thought")
    listed = text_of(alice, f"/projects/{project.slug}/judgments/")
    assert "B much better" in listed and "A better" not in listed


def test_sent_twice_it_is_one_version(alice: User, judged: Assignment) -> None:
    key = str(uuid.uuid4())
    for _time in range(2):
        send(alice, judged, submission_key=key)
    assert Judgment.objects.count() == 2


def test_bad_input_keeps_what_was_typed(alice: User, judged: Assignment) -> None:
    page = send(alice, judged, status=422, choice="9", rationale="my thought")
    assert "my thought" in page and "Select a valid choice" in page
    assert Judgment.objects.counted().get().rationale == "first thought"


@pytest.mark.parametrize(
    ("revision", "is_frozen", "sentence"),
    [
        (Revision.ALWAYS, True, ""),
        (Revision.UNTIL_FROZEN, False, ""),
        (Revision.UNTIL_FROZEN, True, "A snapshot has taken this judgment"),
        (Revision.NEVER, False, "cannot be changed once it was sent"),
    ],
)
def test_the_projects_setting_locks_revising_and_undoing(
    project: Project, alice: User, judged: Assignment, revision: Revision, is_frozen: bool, sentence: str
) -> None:
    Project.objects.update(revision=revision)
    if is_frozen:
        Judgment.objects.update(frozen_at=timezone.now())
    undo = browser_of(alice).post(f"/projects/{project.slug}/undo/", follow=True).content.decode()
    if sentence:
        assert sentence in undo
        assert sentence in text_of(alice, f"/assignments/{judged.pk}/revise/")
        assert sentence in send(alice, judged, status=422)
        assert Judgment.objects.counted().get().rationale == "first thought"
    else:
        assert not Judgment.objects.counted().exists(), "undone"


def test_what_an_admin_took_out_cannot_be_revised(
    project: Project, alice: User, carol: User, judged: Assignment
) -> None:
    voiding = Voiding.objects.create(project=project, annotator=alice, reason="hasty", voided_by=carol)
    Judgment.objects.update(is_current=False, voiding=voiding)
    assert "taken this judgment out of the count" in send(alice, judged, status=422)
    assert "does not count" in text_of(alice, f"/projects/{project.slug}/judgments/")


def test_only_one_s_own(alice: User, bob: User, judged: Assignment) -> None:
    assert browser_of(bob).get(f"/assignments/{judged.pk}/revise/").status_code == 404
    assert "Question 0?" not in text_of(bob, f"/projects/{judged.task.project.slug}/judgments/")


def test_what_is_not_judged_leads_to_the_task_page(project: Project, alice: User, judged: Assignment) -> None:
    actions.undo(alice, project=project)
    response = browser_of(alice).get(f"/assignments/{judged.pk}/revise/")
    assert response["Location"] == f"/projects/{project.slug}/annotate/"
    assert "Question 0?" not in text_of(alice, f"/projects/{project.slug}/judgments/")


def test_another_answer_from_a_second_tab_comes_back_and_can_take_its_place(alice: User, judged: Assignment) -> None:
    data = {"submission_key": str(uuid.uuid4()), "choice": "3", "rationale": "from the other tab", "ahead": "1"}
    answer = browser_of(alice).post(f"/assignments/{judged.pk}/judge/", data, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "from the other tab" in page and f'action="/assignments/{judged.pk}/revise/"' in page
    data["submission_key"] = str(uuid.uuid4())
    again = browser_of(alice).post(f"/assignments/{judged.pk}/revise/", data, headers={"HX-Request": "true"})
    assert again.status_code == 200 and 'id="task"' in again.content.decode()
    assert Judgment.objects.counted().get().rationale == "from the other tab"


def test_the_list_is_filtered_and_paged_in_a_bounded_number_of_queries(
    project: Project, alice: User, django_assert_max_num_queries: Any
) -> None:
    make_tasks(project, 60)
    for _number in range(60):
        held = queue.claim(alice, project=project)
        assert held
        actions.judge(held, by=alice, submission_key=uuid.uuid4(), strength=0)
    path = f"/projects/{project.slug}/judgments/"
    browser = browser_of(alice)
    with django_assert_max_num_queries(16):
        page = browser.get(path).content.decode()
    assert page.count("/revise/") == 25 and "page 1 of 3" in page
    assert text_of(alice, path, page=3).count("/revise/") == 10
    second = text_of(alice, path, page=2, kind="comparison")
    assert 'rel="prev" href="?page=1&amp;kind=comparison"' in second
    assert 'rel="next" href="?page=3&amp;kind=comparison"' in second, "paging must keep the filter"
    assert "No judgments yet" in text_of(alice, path, kind="rating")


def test_reason_chips(project: Project, alice: User) -> None:
    Project.objects.update(reason_chips=["clearer", "kinder"])
    make_tasks(project, 1)
    held = queue.claim(alice, project=Project.objects.get())
    assert held
    page = text_of(alice, f"/projects/{project.slug}/annotate/")
    assert "clearer" in page and "kinder" in page
    with pytest.raises(ValueError, match="no reason “ruder”"):
        actions.judge(held, by=alice, submission_key=uuid.uuid4(), strength=0, reasons=["ruder"])
    data = {"submission_key": str(uuid.uuid4()), "choice": "0", "reasons": ["kinder"]}
    browser_of(alice).post(f"/assignments/{held.pk}/judge/", data)
    assert Judgment.objects.get().reasons == ["kinder"]
