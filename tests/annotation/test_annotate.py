"""The task page: comparisons shown, judged, skipped, undone; nothing lost, nothing told that must stay hidden."""

import re
import uuid
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import actions, queue
from annotation.models import Assignment, Judgment, Project, Task, User
from tests.annotation.conftest import browser_of, make_tasks

HTMX = {"HX-Request": "true"}


@pytest.fixture
def tasks(project: Project) -> list[Task]:
    return make_tasks(project, 5)


def open_page(browser: Client, project: Project, **headers: Any) -> str:
    response = browser.get(f"/projects/{project.slug}/annotate/", **headers)
    assert response.status_code == 200
    return response.content.decode()


def lent(user: User) -> Assignment:
    return Assignment.objects.live().of(user).with_content().latest("leased_at")


def send(browser: Client, assignment: Assignment, *, htmx: bool = True, **values: Any) -> HttpResponse:
    data = {"submission_key": str(uuid.uuid4()), **({"ahead": "1"} if htmx else {}), **values}
    return browser.post(f"/assignments/{assignment.pk}/judge/", data, headers=HTMX if htmx else None)


def test_it_works(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    page = open_page(browser, project)
    held = lent(alice)
    assert held.left.text in page and held.right is not None and held.right.text in page
    assert page.index(held.left.text) < page.index(held.right.text)
    answer = send(browser, held, choice="-2", rationale="clearer", flags=["unsafe"], active_seconds="12.5")
    assert answer.status_code == 200
    judgment = Judgment.objects.get()
    assert (judgment.preferred, judgment.strength, judgment.both_bad) == (held.left, 2, False)
    assert (judgment.rationale, judgment.flags, judgment.active_seconds) == ("clearer", ["unsafe"], 12.5)


@pytest.mark.parametrize("is_swapped", [False, True])
@pytest.mark.parametrize(("choice", "side"), [("-3", "left"), ("3", "right")])
def test_what_is_stored_is_the_response_and_not_the_side(
    project: Project, tasks: list[Task], alice: User, is_swapped: bool, choice: str, side: str
) -> None:
    browser = browser_of(alice)
    open_page(browser, project)
    Assignment.objects.update(is_swapped=is_swapped)
    held = lent(alice)
    send(browser, held, choice=choice)
    expected = held.task.response_a if (side == "left") != is_swapped else held.task.response_b
    assert Judgment.objects.get().preferred == expected


def test_the_page_shows_the_order_of_the_assignment(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    open_page(browser, project)
    for is_swapped in (False, True):
        Assignment.objects.update(is_swapped=is_swapped)
        page = open_page(browser, project)
        assert (page.index("plain answer to") > page.index("long answer to")) == is_swapped


@pytest.mark.parametrize(("choice", "both_bad"), [("0", False), ("both_bad", True)])
def test_ties_and_both_bad(project: Project, tasks: list[Task], alice: User, choice: str, both_bad: bool) -> None:
    browser = browser_of(alice)
    open_page(browser, project)
    send(browser, lent(alice), choice=choice)
    judgment = Judgment.objects.get()
    assert (judgment.preferred, judgment.strength, judgment.both_bad) == (None, 0, both_bad)


def test_nothing_is_chosen_beforehand_and_an_untouched_form_is_no_tie(
    project: Project, tasks: list[Task], alice: User
) -> None:
    browser = browser_of(alice)
    assert "checked" not in open_page(browser, project)
    answer = send(browser, lent(alice), rationale="my long thought")
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Choose which answer is better" in page
    assert "my long thought" in page
    assert not Judgment.objects.exists()


def test_what_is_typed_survives_bad_input_without_javascript(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    open_page(browser, project)
    answer = send(browser, lent(alice), htmx=False, choice="9", rationale="my thought", left_correction="better words")
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "<!doctype html>" in page
    assert "my thought" in page and "better words" in page


def test_the_page_tells_nothing_about_who_wrote_what(project: Project, alice: User, carol: User) -> None:
    """No source, no response id, no gold or order flag; the same page whatever the ids and the side."""
    task = make_tasks(project, 1)[0]
    for response, source in ((task.response_a, "secret-model-1"), (task.response_b, "secret-model-2")):
        assert response is not None
        response.source, response.metadata = source, {"gold": "secret-gold"}
        response.save()
    page = open_page(browser_of(alice), project)
    for secret in ("secret", "source", "swapped", "gold", "response_a", "response_b"):
        assert secret not in page
    held = lent(alice)
    numbers = set(re.findall(r'(?:value|id|name|data-[a-z]+)="[a-z_-]*?(\d+)"', page))
    known = {project.daily_goal, project.lease_seconds, held.pk, alice.pk}
    allowed = {str(number) for number in {*range(10), *known}}
    assert numbers <= allowed


def test_a_submit_sent_twice_counts_once(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    open_page(browser, project)
    held, key = lent(alice), str(uuid.uuid4())
    for _time in range(2):
        answer = send(browser, held, submission_key=key, choice="1", left_correction="Better")
        assert answer.status_code == 200
        assert "judged this task already" not in answer.content.decode()
    other_tab = send(browser, held, choice="-1")
    assert "judged this task already" in other_tab.content.decode()
    assert Judgment.objects.count() == 1
    assert Task.objects.get(pk=held.task_id).num_judged == 1


def test_after_a_judgment_comes_the_next_task(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    open_page(browser, project)
    first = lent(alice)
    fragment = send(browser, first, choice="1").content.decode()
    assert fragment.lstrip().startswith('<div id="answer" data-said="Saved."')
    assert lent(alice) != first
    assert lent(alice).left.text in fragment
    assert "1 of 40 today" in fragment
    second = send(browser, lent(alice), htmx=False, choice="1")
    assert (second.status_code, second["Location"]) == (302, f"/projects/{project.slug}/annotate/")


def test_a_page_that_holds_the_next_task_gets_another_one(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    open_page(browser, project)
    first = lent(alice)
    ahead = browser.get(f"/projects/{project.slug}/annotate/?held={first.pk}", headers=HTMX).content.decode()
    second = lent(alice)
    assert second != first and second.left.text in ahead and "<html" not in ahead
    answer = send(browser, first, choice="1", held=[str(second.pk), "²", "9" * 5000]).content.decode()
    third = lent(alice)
    assert third not in (first, second)
    assert third.left.text in answer and second.left.text not in answer


def test_a_page_that_wants_no_more_is_lent_nothing(project: Project, tasks: list[Task], alice: User) -> None:
    queue.claim(alice, project=project)
    held = lent(alice)
    data = {"submission_key": str(uuid.uuid4()), "choice": "1"}
    answer = browser_of(alice).post(f"/assignments/{held.pk}/judge/", data, headers=HTMX)
    assert answer.status_code == 200
    assert 'id="task"' not in answer.content.decode()
    assert not Assignment.objects.live().exists()


def test_what_one_person_said_is_not_taken_for_another_s(project: Project, alice: User, bob: User) -> None:
    """Bob logged in in another tab of the browser in which Alice's page is open."""
    make_tasks(project, 2)
    headers = HTMX | {"Plumbline-Person": str(alice.pk)}
    answer = browser_of(bob).get(f"/projects/{project.slug}/annotate/", headers=headers)
    assert answer.status_code == 409
    assert "Somebody else is logged in" in answer.content.decode()
    assert not Assignment.objects.exists()
    assert browser_of(alice).get(f"/projects/{project.slug}/annotate/", headers=headers).status_code == 200


def test_when_nothing_is_left_the_page_says_so(project: Project, alice: User) -> None:
    make_tasks(project, 1)
    browser = browser_of(alice)
    open_page(browser, project)
    assert "Nothing waits for you" in send(browser, lent(alice), choice="1").content.decode()


def test_a_correction_is_kept_and_an_unchanged_text_is_not(project: Project, tasks: list[Task], alice: User) -> None:
    Task.objects.get(pk=tasks[0].pk)
    browser = browser_of(alice)
    open_page(browser, project)
    held = lent(alice)
    assert held.right is not None
    held.right.text = "Two\nlines"
    held.right.save()
    send(browser, held, choice="1", left_correction="Better.\r\nMuch.", right_correction="Two\r\nlines")
    correction = Judgment.objects.get().corrections.get()
    assert (correction.text, correction.parent) == ("Better.\nMuch.", held.left)


def test_skip_needs_a_reason(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    open_page(browser, project)
    held = lent(alice)
    refused = browser.post(f"/assignments/{held.pk}/skip/", {"note": "hm"}, headers=HTMX)
    assert refused.status_code == 422
    assert "Choose why you skip" in refused.content.decode()
    answer = browser.post(f"/assignments/{held.pk}/skip/", {"reason": "expertise", "note": "medical"}, headers=HTMX)
    assert "Skipped." in answer.content.decode()
    held.refresh_from_db()
    assert (held.status, held.skip_reason, held.skip_note) == ("skipped", "expertise", "medical")


def test_undo_reopens_the_last_with_its_values(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    open_page(browser, project)
    held = lent(alice)
    send(browser, held, choice="-2", rationale="because", flags=["unsafe"], left_correction="Better words")
    page = browser.post(f"/projects/{project.slug}/undo/", headers=HTMX).content.decode()
    assert held.left.text in page
    assert re.search(r'value="-2"[^>]*checked', page)
    assert re.search(r'value="unsafe"[^>]*checked', page)
    assert "because" in page and "Better words" in page
    assert not Judgment.objects.counted().exists()
    send(browser, held, choice="3")
    assert Judgment.objects.counted().get().preferred == held.right


def test_undo_with_nothing_to_undo_says_so(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    page = browser.post(f"/projects/{project.slug}/undo/", headers=HTMX).content.decode()
    assert "nothing left to undo" in page
    plain = browser.post(f"/projects/{project.slug}/undo/", follow=True).content.decode()
    assert "nothing left to undo" in plain


def test_a_lost_lease_keeps_the_judgment_and_says_that_it_does_not_count(
    project: Project, alice: User, bob: User
) -> None:
    make_tasks(project, 1)
    browser = browser_of(alice)
    open_page(browser, project)
    held = lent(alice)
    Assignment.objects.update(expires_at=timezone.now())
    theirs = queue.claim(bob, project=project)
    assert theirs is not None
    actions.judge(theirs, by=bob, submission_key=uuid.uuid4(), strength=0)
    answer = send(browser, held, choice="1", rationale="a long text")
    assert "kept, but it does not count" in answer.content.decode()
    assert Judgment.objects.get(annotator=alice).rationale == "a long text"


@pytest.mark.parametrize("verb", ["judge", "skip"])
def test_other_people_s_tasks_are_not_there(
    project: Project, tasks: list[Task], alice: User, bob: User, charlie: User, verb: str
) -> None:
    queue.claim(alice, project=project)
    held = lent(alice)
    for person in (bob, charlie):
        assert browser_of(person).post(f"/assignments/{held.pk}/{verb}/", {"choice": "1"}).status_code == 404
    assert browser_of(alice).post(f"/assignments/999999/{verb}/").status_code == 404


def test_who_left_the_project_cannot_judge(project: Project, tasks: list[Task], alice: User) -> None:
    queue.claim(alice, project=project)
    held = lent(alice)
    project.memberships.filter(user=alice).update(is_paused=True)
    assert send(browser_of(alice), held, choice="1").status_code == 403
    assert not Judgment.objects.exists()


@pytest.mark.parametrize("path", ["annotate/", "undo/"])
def test_strangers_find_nothing(project: Project, charlie: User, path: str) -> None:
    browser = browser_of(charlie)
    method = browser.post if path == "undo/" else browser.get
    assert method(f"/projects/{project.slug}/{path}").status_code == 404


def test_anonymous_people_log_in_and_lose_nothing(project: Project, tasks: list[Task], alice: User) -> None:
    """A redirect would be followed by htmx, and the login page would replace what was typed."""
    queue.claim(alice, project=project)
    nobody = browser_of(None)
    assert nobody.get(f"/projects/{project.slug}/annotate/").status_code == 302
    assert send(nobody, lent(alice), choice="1").status_code == 401
    assert send(nobody, lent(alice), htmx=False, choice="1").status_code == 302


def test_wrong_methods(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    queue.claim(alice, project=project)
    assert browser.post(f"/projects/{project.slug}/annotate/").status_code == 405
    for path in (f"/projects/{project.slug}/undo/", f"/assignments/{lent(alice).pk}/judge/"):
        assert browser.get(path).status_code == 405


@pytest.mark.parametrize("key", ["", "not-a-key"])
def test_a_form_with_a_broken_key_gets_a_sentence(project: Project, tasks: list[Task], alice: User, key: str) -> None:
    queue.claim(alice, project=project)
    answer = send(browser_of(alice), lent(alice), submission_key=key, choice="1")
    assert answer.status_code == 422
    assert "reload the page" in answer.content.decode()


@pytest.mark.parametrize("seconds", ["-5", "nan", "1e99", "soon"])
def test_an_impossible_time_is_no_reason_to_refuse(
    project: Project, tasks: list[Task], alice: User, seconds: str
) -> None:
    queue.claim(alice, project=project)
    assert send(browser_of(alice), lent(alice), choice="1", active_seconds=seconds).status_code == 200
    assert Judgment.objects.get().active_seconds is None


def test_answers_cannot_run_scripts(project: Project, alice: User) -> None:
    task = make_tasks(project, 1)[0]
    task.response_a.text = "<script>alert(1)</script> **bold** [x](javascript:alert(1))"
    task.response_a.save()
    page = open_page(browser_of(alice), project)
    assert "<script>alert" not in page and 'href="javascript' not in page
    assert "<strong>bold</strong>" in page


def statements(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]


def test_a_judgment_takes_four_statements_and_a_page_six(project: Project, alice: User) -> None:
    """Each costs the server and the database more than much of the request: one more needs a reason."""
    make_tasks(project, 50)
    browser = browser_of(alice)
    key = browser.session.session_key
    UserSession.objects.create(user=alice, session_key=key, ip="127.0.0.1")  # as the login page does
    open_page(browser, project)
    send(browser, lent(alice), choice="1", ahead="1")
    with CaptureQueriesContext(connection) as shown:
        open_page(browser, project)
    held = lent(alice)
    with CaptureQueriesContext(connection) as judged:
        send(browser, held, choice="1", ahead="1")
    assert len(statements(shown)) == 6
    assert len(statements(judged)) == 4  # session with its person, task, judgment, next task


class TestPartsThatServeManyTasks:
    """What stands under the texts is rendered once while nothing is entered in it, and serves where it is alike."""

    def parts(self, page: str) -> str:
        return re.sub(r"\s+", " ", page[page.index('<fieldset class="scale"') :])

    def test_the_second_time_it_is_the_same(self, project: Project, tasks: list[Task], alice: User) -> None:
        browser = browser_of(alice)
        first, again = open_page(browser, project), open_page(browser, project)
        assert self.without_tokens(first) == self.without_tokens(again)

    def without_tokens(self, page: str) -> str:
        page = re.sub(r'value="[0-9a-f-]{36}"', "", page)  # the form's key
        return re.sub(r'(csrfmiddlewaretoken" value=|X-CSRFToken": )"\w+"', "", page)

    def test_each_person_sees_their_own_keys(self, project: Project, tasks: list[Task], alice: User, bob: User) -> None:
        assert "<kbd>S</kbd>" in open_page(browser_of(alice), project)
        bob.key_bindings = {"skip": "q"}
        bob.save()
        page = self.parts(open_page(browser_of(bob), project))
        assert "<kbd>Q</kbd>" in page and "<kbd>S</kbd>" not in page

    def test_each_person_sees_their_own_language(
        self, project: Project, tasks: list[Task], alice: User, bob: User
    ) -> None:
        assert "both bad" in self.parts(open_page(browser_of(alice), project))
        page = open_page(browser_of(bob), project, headers={"Accept-Language": "zh-hans"})
        assert "both bad" not in self.parts(page)

    def test_a_criterion_that_changed_is_shown_as_it_is_now(self, project: Project, alice: User) -> None:
        criterion = actions.add_criterion(project, key="helpful", name="Helpful")
        make_tasks(project, 1, kind="rating")
        browser = browser_of(alice)
        assert "Helpful" in open_page(browser, project)
        criterion.name = "Truly helpful"
        criterion.save()
        assert "Truly helpful" in open_page(browser, project)
